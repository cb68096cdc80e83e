"""A network as an ONNX model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from eamamba.export.orders import scan_order
from eamamba.export.trace import trace
from eamamba.network import Network

if TYPE_CHECKING:
    import onnx
    from onnx_ir import Model
    from onnx_ir import Node as OnnxNode

OPSET = 18
INPUT, OUTPUT = "image", "restored"
_SMALLEST_HALVED = 64
"""Elements; for a shorter tensor, the node that widens it takes more space than is saved."""


def onnx_model(model: Network) -> onnx.ModelProto:
    """Return the network in standard operators of ONNX, for any batch, height and width.

    The initializers have the names of the network's weights.
    """
    from eamamba.export.onnx_scan import translate_scan

    with _suppress_messages():
        program = trace(model)
        _share_orders(program)
        order, scan = torch.ops.eamamba.scan_order.default, torch.ops.eamamba.selective_scan.default
        exported = torch.onnx.export(
            program.run_decompositions({order: scan_order}),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            custom_translation_table={scan: translate_scan},
            optimize=False,  # it is slow, and merges weights into new ones
            verbose=False,
        )
    assert exported is not None
    _simplify(exported.model)
    proto = exported.model_proto
    _name_sizes(proto, model.upscale)
    return proto


@contextmanager
def _suppress_messages() -> Iterator[None]:
    """Suppress messages of `torch.onnx`: deprecations, and a missing torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)


def _share_orders(program: ExportedProgram) -> None:
    """Share one scan order among all blocks of a level, so that it is computed once."""
    first: dict[tuple[str, ...], Node] = {}
    for node in list(program.graph.nodes):
        if node.target is torch.ops.eamamba.scan_order.default:
            values = [a.meta["val"] if isinstance(a, Node) else a for a in node.args]
            kept = first.setdefault(tuple(map(str, values)), node)
            if kept is not node:
                node.replace_all_uses_with(kept)
                program.graph.erase_node(node)


def _simplify(model: Model) -> None:
    """Fold constants, merge repeated nodes, and remove notes on their origin."""
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants

    fold_constants(model, should_fold=_unless_weights)
    for simplify in (
        common.IdentityEliminationPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.ClearMetadataAndDocStringPass(),
    ):
        simplify(model)


def _unless_weights(node: OnnxNode) -> bool | None:
    """Return False for a node that reads a weight; for others, None: its size decides."""
    return False if any(x is not None and x.is_initializer() for x in node.inputs) else None


def _name_sizes(proto: onnx.ModelProto, upscale: int) -> None:
    """Give the axes of input and output names, instead of the symbols of the trace."""
    proto.graph.ClearField("value_info")  # it refers to those symbols
    enlarged = "" if upscale == 1 else f"{upscale}*"
    for value, scale in ((proto.graph.input[0], ""), (proto.graph.output[0], enlarged)):
        value.ClearField("metadata_props")
        for axis, name in {0: "batch", 2: f"{scale}height", 3: f"{scale}width"}.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name


def store_in_half(proto: onnx.ModelProto) -> None:
    """Store the weights in half precision; the graph widens them, and computes in float32."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    stored, widened = [], []
    for tensor in proto.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < _SMALLEST_HALVED:
            stored.append(tensor)
            continue
        name = f"{tensor.name}.half"
        stored.append(numpy_helper.from_array(weights.astype(np.float16), name))
        widened.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*widened, *proto.graph.node]
    proto.graph.ClearField("initializer")
    proto.graph.ClearField("node")
    proto.graph.initializer.extend(stored)
    proto.graph.node.extend(nodes)
