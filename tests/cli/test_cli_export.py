"""``eamamba export``: files that say what they are, compared with the network on request."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eamamba import export
from eamamba.checkpoint import load_model, read_header, save_model
from eamamba.config import EAMambaSRSettings, MambaSettings
from eamamba.network import EAMambaSR

Run = Callable[..., tuple[int, str, str]]
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs the extra `export`: pip install onnx onnxscript onnxruntime",
)
SETTINGS = EAMambaSRSettings(
    dim=8, num_blocks=(1,), mamba_cfg=MambaSettings(scan_type="raster", scan_count=2, d_state=2)
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a small network, in the place of those in the package."""
    torch.manual_seed(0)
    path = tmp_path / "pretrained" / "sr_x2.safetensors"
    save_model(EAMambaSR(SETTINGS), path, task="light_sr_x2")
    return path


@needs_onnx
@pytest.mark.usefixtures("weights")
def test_onnx_says_what_it_is(run: Run, tmp_path: Path) -> None:
    import onnx

    target = tmp_path / "model.onnx"
    status, output, errors = run("export", "sr_x2", "-o", target, "--half", "--check")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].endswith("sr_x2.safetensors")
    assert lines[1].startswith(f"written to {target}, 0.")
    assert len(lines) == 2 + len(export.CHECKED) + 1
    assert float(lines[-1].split()[4]) < 1e-5
    model = onnx.load(target)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["task"] == "light_sr_x2"
    assert facts["license"] == "Apache-2.0"
    assert (facts["size_multiple"], facts["upscale"]) == ("1", "2")
    assert EAMambaSRSettings.model_validate_json(facts["settings"]) == SETTINGS
    assert (model.producer_name, model.producer_version) == ("eamamba", facts["eamamba_version"])


def test_pt2_is_checked_and_says_what_it_is(run: Run, weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.pt2"
    status, output, errors = run("export", weights, "-o", target, "--check")
    assert (status, errors) == (0, "")
    assert float(output.splitlines()[-1].split()[4]) < 1e-5
    extra = {"eamamba.json": ""}
    restored = torch.export.load(target, extra_files=extra).module()(torch.rand(3, 3, 20, 31))
    assert restored.shape == (3, 3, 40, 62)
    assert json.loads(extra["eamamba.json"])["task"] == "light_sr_x2"


def test_other_weights_have_no_license_of_ours(run: Run, weights: Path, tmp_path: Path) -> None:
    own = weights.rename(tmp_path / "own.safetensors")
    assert run("export", own, "-o", tmp_path / "model.pt2")[0] == 0
    extra = {"eamamba.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert "license" not in json.loads(extra["eamamba.json"])


def test_difference_is_an_error(
    run: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "largest_difference", lambda *_: float("nan"))
    status, _, errors = run("export", weights, "-o", tmp_path / "model.pt2", "--check")
    assert status == 2
    assert "computes something different" in errors


@pytest.mark.parametrize(("options", "share"), [([], 1), (["--half"], 0.55), (["--int8"], 0.35)])
def test_weights_file_is_checked(run: Run, weights: Path, options: list[str], share: float) -> None:
    status, output, errors = run("export", weights, "-o", "a.safetensors", *options, "--check")
    assert (status, errors) == (0, "")
    assert "largest difference to PyTorch: 0.0e+00" in output
    assert read_header("a.safetensors")["task"] == "light_sr_x2"
    stored = load_file("a.safetensors").values()
    values = sum(weight.numel() for weight in load_model(weights).parameters())
    assert sum(tensor.nbytes for tensor in stored) <= share * 4 * values


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "model.onx"], "model.onx: expected a file ending in .onnx or .pt2 or .safetensors"),
        (["-o", "model", "--format", "tflite"], "--format: no format 'tflite'"),
        (["-o", "model.pt2", "--format", "onnx"], "model.pt2: the suffix means pt2"),
        (["-o", "nowhere/model.pt2"], "nowhere/model.pt2: no folder nowhere"),
        (["-o", "model.pt2", "--half"], "half precision is for onnx and safetensors, not for pt2"),
        (["-o", "model.pt2", "--int8"], "8-bit weights are for safetensors, not for pt2"),
        (["-o", "a.safetensors", "--half", "--int8"], "weights in half precision or in 8 bits"),
    ],
)
def test_impossible_exports(run: Run, weights: Path, arguments: list[str], reason: str) -> None:
    status, output, errors = run("export", weights, *arguments)
    assert (status, output) == (2, "")
    assert errors.startswith(f"error: {reason}")
    assert errors.count("\n") == 1
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["params.yaml"]


def test_weights_are_not_replaced(run: Run, weights: Path) -> None:
    before = weights.read_bytes()
    status, _, errors = run("export", weights, "-o", weights)
    assert status == 2
    assert "would replace the weights" in errors
    assert weights.read_bytes() == before


def test_missing_extra_is_named(run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eamamba.export.files.find_spec", lambda _: None)
    status, _, errors = run("export", weights, "-o", "model.onnx")
    assert status == 2
    assert "pip install onnx onnx_ir onnxscript" in errors
    assert not Path("model.onnx").exists()


def test_weight_too_large_for_half_precision() -> None:
    model = EAMambaSR(SETTINGS)
    torch.nn.init.constant_(model.conv_last.weight, 1e6)
    with pytest.raises(export.ExportError, match=r"conv_last\.weight: too large"):
        export.round_to_half(model)


def test_license_is_the_projects() -> None:
    from eamamba.cli.exporting import LICENSE

    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert f'license = "{LICENSE}"' in pyproject.read_text(encoding="utf-8")
