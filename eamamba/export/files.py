"""Write a network as a file of another format."""

from __future__ import annotations

import copy
import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch

from eamamba import __version__
from eamamba.checkpoint import save_model
from eamamba.export.errors import ExportError
from eamamba.export.trace import trace
from eamamba.files import write_atomically
from eamamba.network import Network

Format = Literal["onnx", "pt2", "safetensors"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(
    model: Network,
    path: str | Path,
    file_format: Format = "onnx",
    *,
    half: bool = False,
    int8: bool = False,
    task: str | None = None,
    license: str | None = None,
) -> None:
    """Write a network for images of any batch, height and width, atomically.

    Input and output are those of the network: (batch, c, H, W) float32 in [0, 1], H and W in
    multiples of ``model.size_multiple``, to (batch, c', H·s, W·s) with s = ``model.upscale``. The
    output may exceed [0, 1] a little.

    Parameters
    ----------
    model : EAMamba or EAMambaSR
        On any device; the file works on all.
    path : path
        Its folder is created if missing.
    file_format : {'onnx', 'pt2', 'safetensors'}
        ``onnx``: opset 18, standard operators only, input ``image``, output ``restored``. ``pt2``:
        written by `torch.export.save`; running it requires this package, which defines the operator
        of the scan, and sides of at least twice ``model.size_multiple``. ``safetensors``: a weights
        file, for `load_model` and for the network for browsers.
    half : bool
        Store weights in half precision, in half the space. Networks compute in float32 with the
        rounded weights of `round_to_half`. Not for ``pt2``.
    int8 : bool
        Store most weights in one byte each: see `save_model`. For ``safetensors`` only.
    task : str, optional
        What the weights were trained for.
    license : str, optional
        Licence of the weights, as an SPDX expression.

    Raises
    ------
    ExportError
        If a package is missing, or the format is unknown or cannot store weights this way.
    OSError
        If the file cannot be written; an existing one is left unchanged.

    Notes
    -----
    Task, settings, licence and version are stored in the file: in ``metadata_props`` of an ONNX
    model, and as JSON in the extra file ``eamamba.json`` of a ``pt2``.
    """
    check_possible(file_format, half, int8)
    facts = _facts(model, task, license)
    if file_format == "safetensors":
        stored = round_to_half(model).half() if half else model
        save_model(stored, path, task=task, extra={"license": license}, int8=int8)
    else:
        content = _onnx(model, facts, half) if file_format == "onnx" else _pt2(model, facts)
        write_atomically(Path(path), content)


def check_possible(
    file_format: str, half: bool = False, int8: bool = False, run: bool = False
) -> None:
    """Check that `export` could write a format here, and on request that the file would run.

    Raises
    ------
    ExportError
        If the format is unknown or cannot store its weights like this, or a package is missing.
    """
    if file_format not in FORMATS:
        raise ExportError(f"no export format {file_format!r}; expected {' or '.join(FORMATS)}")
    if half and file_format == "pt2":
        raise ExportError("half precision is for onnx and safetensors, not for pt2")
    if int8 and file_format != "safetensors":
        raise ExportError(f"8-bit weights are for safetensors, not for {file_format}")
    if half and int8:
        raise ExportError("weights in half precision or in 8 bits: expected one of the two")
    needed = ("onnx", "onnx_ir", "onnxscript", *(("onnxruntime",) if run else ()))
    missing = [name for name in needed if find_spec(name) is None]
    if file_format == "onnx" and missing:
        raise ExportError(
            f"ONNX needs {', '.join(missing)}, not installed here: pip install {' '.join(missing)}"
        )


def round_to_half(model: Network) -> Network:
    """Return a copy with the weights of ``model`` rounded to half precision, stored in float32.

    Raises
    ------
    ExportError
        If a weight is too large for half precision.
    """
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in rounded.named_parameters():
            weight.copy_(weight.half())
            if not weight.isfinite().all():
                raise ExportError(f"{name}: too large for half precision; export it in float32")
    return rounded


def _facts(model: Network, task: str | None, license: str | None) -> dict[str, str]:
    facts = {
        "task": task,
        "settings": json.dumps(model.settings.model_dump(mode="json"), sort_keys=True),
        "license": license,
        "eamamba_version": __version__,
        "size_multiple": str(model.size_multiple),
        "upscale": str(model.upscale),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _onnx(model: Network, facts: dict[str, str], half: bool) -> bytes:
    from onnx import checker, helper

    from eamamba.export.onnx_graph import onnx_model, store_in_half

    proto = onnx_model(round_to_half(model) if half else model)
    if half:
        store_in_half(proto)
    proto.producer_name, proto.producer_version = "eamamba", __version__
    helper.set_model_props(proto, facts)
    checker.check_model(proto)
    return proto.SerializeToString(deterministic=True)


def _pt2(model: Network, facts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(trace(model), buffer, extra_files={"eamamba.json": json.dumps(facts)})
    return buffer.getvalue()
