"""Exported ONNX models compute what the network computes."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from eamamba import paths
from eamamba.checkpoint import load_model
from eamamba.export import CHECKED, round_to_half

REASON = "needs the extra `export`: pip install onnx onnxscript onnxruntime"
onnx = pytest.importorskip("onnx", reason=REASON)
pytest.importorskip("onnxscript", reason=REASON)
pytest.importorskip("onnxruntime", reason=REASON)

from exported import VARIANTS, run, small_network  # noqa: E402

from eamamba.export.onnx_graph import onnx_model, store_in_half  # noqa: E402

NAMES = sorted(path.stem for path in paths.PRETRAINED.glob("*.safetensors"))


@cache
def exported(name: str) -> onnx.ModelProto:
    """The model of a small network, made once."""
    return onnx_model(small_network(VARIANTS[name]))


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 24, 64), (3, 40, 16)])
@pytest.mark.parametrize("name", VARIANTS)
def test_onnx_is_the_network(name: str, shape: tuple[int, int, int]) -> None:
    model = small_network(VARIANTS[name])
    batch, height, width = shape
    image = torch.rand(batch, model.settings.inp_channels, height, width)
    restored = run(exported(name), image)
    torch.testing.assert_close(restored, model(image), rtol=0, atol=1e-5)


def test_super_resolution_takes_odd_sizes() -> None:
    model = small_network(VARIANTS["diagonal"])
    for height, width in [(1, 1), (1, 13), (7, 19)]:
        image = torch.rand(2, 3, height, width)
        torch.testing.assert_close(
            run(exported("diagonal"), image), model(image), rtol=0, atol=1e-5
        )


def test_images_of_a_batch_do_not_mix() -> None:
    images = torch.rand(3, 3, 24, 16)
    together = run(exported("hilbert"), images)
    alone = torch.cat([run(exported("hilbert"), image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_graph_has_standard_operators_and_says_its_sizes(name: str) -> None:
    proto = exported(name)
    onnx.checker.check_model(proto, full_check=True)
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 18)]
    assert not proto.functions
    kinds = {node.op_type for node in proto.graph.node}
    assert not kinds & {"SplitToSequence", "SequenceAt"}, "few runtimes know sequences"
    sizes = [axis.dim_param for axis in proto.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", "", "height", "width"]


def test_blocks_of_a_level_share_their_order() -> None:
    sorts = [node for node in exported("diagonal").graph.node if node.op_type == "TopK"]
    assert len(sorts) == 1


def test_weights_keep_their_names() -> None:
    weights = small_network(VARIANTS["diagonal"]).state_dict()
    stored = {tensor.name: tensor for tensor in exported("diagonal").graph.initializer}
    for name, weight in weights.items():
        found = torch.from_numpy(onnx.numpy_helper.to_array(stored[name]).copy())
        assert torch.equal(found, weight)


def test_half_precision_takes_half_the_space_and_changes_nothing_else() -> None:
    model = round_to_half(small_network(VARIANTS["raster"]))
    proto = onnx_model(model)
    image = torch.rand(1, 3, 16, 24)
    restored, weight_bytes = run(proto, image), stored_bytes(proto)
    store_in_half(proto)
    onnx.checker.check_model(proto)
    assert stored_bytes(proto) < 0.55 * weight_bytes
    assert torch.equal(run(proto, image), restored)


def stored_bytes(proto: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in proto.graph.initializer)


@cache
def graph_of(settings: object) -> onnx.ModelProto:
    """The graph for the settings, made once for all weights that share it."""
    return onnx_model(load_model(next(n for n in NAMES if load_model(n).settings == settings)))


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first of a network waits for its graph
@pytest.mark.parametrize("name", NAMES)
def test_weights_in_the_package(name: str) -> None:
    model = load_model(name).requires_grad_(False)
    proto = onnx.ModelProto()
    proto.CopyFrom(graph_of(model.settings))
    weights = model.state_dict()
    for tensor in proto.graph.initializer:
        if tensor.name in weights:
            array = weights.pop(tensor.name).numpy()
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    assert not weights, "a weight is not in the graph"
    for batch, height, width in CHECKED:
        image = torch.rand(batch, model.settings.inp_channels, height, width)
        torch.testing.assert_close(run(proto, image), model(image), rtol=0, atol=1e-5)
