"""Weights files: ours round-trip, released ones are translated, damaged or hostile ones refused."""

from __future__ import annotations

import json
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from eamamba import paths
from eamamba.checkpoint import (
    FORMAT,
    CheckpointError,
    CheckpointWarning,
    load_model,
    read_header,
    save_model,
)
from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.network import EAMamba, EAMambaSR

GOLDEN = Path(__file__).parent / "golden/network"
CASES = json.loads((GOLDEN / "cases.json").read_text())["cases"]
LAYOUTS = json.loads((GOLDEN / "state_dict_layout.json").read_text())
TINY = EAMambaSettings(
    dim=8,
    num_blocks=(1, 1, 1, 1),
    num_refinement_blocks=1,
    mamba_cfg=MambaSettings(scan_count=4, d_state=4),
)


@pytest.fixture
def model() -> EAMamba:
    torch.manual_seed(0)
    return EAMamba(TINY)


@pytest.fixture
def saved(model: EAMamba, tmp_path: Path) -> Path:
    path = tmp_path / "new folder" / "model.safetensors"
    save_model(model, path, task="denoise_gaussian", extra={"iterations": 8})
    return path


def golden_tensors(case: str) -> dict[str, Tensor]:
    with safe_open(GOLDEN / "cases.safetensors", "pt") as file:
        names = [name for name in file.keys() if name.startswith(f"{case}.")]
        return {name.removeprefix(f"{case}."): file.get_tensor(name) for name in names}


def released(case: str = "paper_tiny", **changes: Any) -> dict[str, Any]:
    """Return the content of a released file around a golden network."""
    tensors = golden_tensors(case)
    prefix = "state_dict."
    averaged = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    model = {
        "name": CASES[case]["architecture"],
        "args": CASES[case]["args"],
        "sd": {name: weight + 1 for name, weight in averaged.items()},
        "sd_e": averaged,
    }
    return {
        "model": model | changes,
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3}]},
        "current_iter": 450_000,
        "state": np.random.RandomState(0).get_state(),
    }


def write(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_a_file_is_a_model(model: EAMamba, saved: Path) -> None:
    loaded = load_model(saved)
    assert loaded.settings == model.settings
    assert not loaded.training
    assert all(weight.requires_grad for weight in loaded.parameters())
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    header = read_header(saved)
    assert (header["task"], header["extra"]) == ("denoise_gaussian", {"iterations": 8})
    assert stat.S_IMODE(saved.stat().st_mode) == 0o644
    assert os.listdir(saved.parent) == [saved.name]


def test_equal_models_are_equal_files(model: EAMamba, saved: Path, tmp_path: Path) -> None:
    save_model(model, tmp_path / "again", task="denoise_gaussian", extra={"iterations": 8})
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_super_resolution_round_trips(tmp_path: Path) -> None:
    scan = MambaSettings(scan_count=4, d_state=4)
    model = EAMambaSR(EAMambaSRSettings(dim=8, num_blocks=(1,), upscale=4, mamba_cfg=scan))
    save_model(model, tmp_path / "sr.safetensors")
    loaded = load_model(tmp_path / "sr.safetensors")
    assert loaded.settings == model.settings
    assert loaded.upscale == 4
    assert read_header(tmp_path / "sr.safetensors")["task"] is None


@pytest.mark.parametrize(("weights", "shift"), [("ema", 0), ("raw", 1)])
def test_released_file_gives_the_golden_output(tmp_path: Path, weights: Any, shift: int) -> None:
    content = released()
    args = dict(content["model"]["args"]) | {"heads": [1, 2, 4, 8], "upscale": 2}
    args["LayerNorm_type"] = "BiasFree"  # never read by those files' constructor
    del args["layernorm_type"]
    content["model"]["args"] = args
    for key in ("sd", "sd_e"):
        content["model"][key]["upsample.0.weight"] = torch.ones(3)
    path = write(tmp_path / "released.pth", content)
    with pytest.warns(CheckpointWarning, match="ignored LayerNorm_type, heads, upscale, upsample"):
        model = load_model(path, weights=weights)
    assert model.settings.layernorm_type == "WithBias"
    tensors = golden_tensors("paper_tiny")
    name = "patch_embed.proj.weight"
    expected = tensors[f"state_dict.{name}"].float() + shift
    torch.testing.assert_close(model.state_dict()[name], expected)
    if weights == "ema":
        with torch.no_grad():
            output = model(tensors["input"].float())
        torch.testing.assert_close(output, tensors["output"].float(), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::eamamba.checkpoint.CheckpointWarning")
@pytest.mark.parametrize("layout", ["eamamba_paper", "eamambasr_light_x3"])
def test_released_layout_of_full_size_is_understood(tmp_path: Path, layout: str) -> None:
    shapes = LAYOUTS[layout]["state_dict"]
    weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    name = layout.split("_")[0]
    content = {"model": {"name": name, "args": LAYOUTS[layout]["args"], "sd_e": weights}}
    model = load_model(write(tmp_path / "full.pth", content))
    assert sum(weight.numel() for weight in model.parameters()) == LAYOUTS[layout]["parameters"]
    assert list(model.state_dict()) == list(shapes)
    assert model.upscale == LAYOUTS[layout]["args"]["upscale"]


class Hostile:
    """Writes a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_hostile_file_is_refused(tmp_path: Path, form: str) -> None:
    path, target = tmp_path / "hostile.pth", tmp_path / "harm"
    content = released(note=Hostile(target))
    if form == "torch":
        write(path, content)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="refused: holds objects other than tensors"):
        load_model(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"params": {}}, "expected a checkpoint with model.name"),
        ([1, 2], "expected a checkpoint with model.name"),
        ({"model": {"name": "eamamba", "args": 3}}, "expected a checkpoint with model.name"),
        ({"model": {"name": "restormer", "args": {}}}, "holds the network 'restormer'"),
        ({"model": {"name": "eamamba", "args": {}, "sd": {}}}, "no ema weights"),
        ({"model": {"name": "eamamba", "args": {}, "sd_e": {"a": 1}}}, "no ema weights"),
        ({"model": {"name": "eamamba", "args": {"dim": "x"}, "sd_e": {}}}, "dim: got 'x'"),
        ({"model": {"name": "eamamba", "args": {}, "sd_e": {}}}, "lacks .* and 706 more"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_model(write(tmp_path / "other.pth", content))


@pytest.mark.parametrize("content", [b"", b"hello world", b"root:x:0:0\n", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".SAFETENSORS"])
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_truncated_files_are_told(saved: Path, share: float) -> None:
    released_file = write(saved.with_suffix(".pth"), released())
    for path in (saved, released_file):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(CheckpointError, match="not a readable"):
            load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(model: EAMamba, saved: Path, value: float) -> None:
    before = saved.read_bytes()
    with torch.no_grad():
        model.output.weight[0, 0, 0, 0] = value
    with pytest.raises(CheckpointError, match=r"not written: output\.weight holds NaN"):
        save_model(model, saved)
    assert saved.read_bytes() == before
    rewrite(saved, {FORMAT: json.dumps(read_header(saved))}, model.state_dict())
    with pytest.raises(CheckpointError, match=r"output\.weight holds NaN or infinite values"):
        load_model(saved)


def rewrite(path: Path, metadata: dict[str, str], tensors: dict[str, Tensor] | None = None) -> None:
    """Replace what stands in a file's header beside the tensors, and these if they are given."""
    if tensors is None:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "no EAMamba settings in its header"),
        ({"eamamba-99": "{}"}, "no EAMamba settings in its header"),
        ({FORMAT: "{"}, "its header is damaged"),
        ({FORMAT: "3"}, "its header is damaged"),
        ({FORMAT: '{"task": null, "extra": {}}'}, "its header is damaged .'settings'"),
    ],
)
def test_headers_of_other_files(saved: Path, metadata: dict[str, str], message: str) -> None:
    rewrite(saved, metadata)
    with pytest.raises(CheckpointError, match=message):
        load_model(saved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "unknown architecture None"),
        ({"architecture": "unet"}, "unknown architecture 'unet'"),
        ({"architecture": "eamamba", "dimm": 8}, "dimm: no such setting"),
        (TINY.model_dump(mode="json") | {"dim": 16}, "has misshapen"),
        (TINY.model_dump(mode="json") | {"bias": True}, "lacks .* more"),
        (TINY.model_dump(mode="json") | {"num_refinement_blocks": 0}, "has unknown refinement"),
    ],
)
def test_settings_that_do_not_fit(saved: Path, settings: object, message: str) -> None:
    rewrite(saved, {FORMAT: json.dumps({"task": None, "extra": {}, "settings": settings})})
    with pytest.raises(CheckpointError, match=message):
        load_model(saved)


def test_our_files_hold_the_average_only(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="averaged weights only"):
        load_model(saved, weights="raw")


def test_names_mean_files(model: EAMamba, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAMAMBA_ROOT", str(tmp_path))
    monkeypatch.setattr(paths, "PRETRAINED", tmp_path / "pretrained")
    save_model(model, tmp_path / "pretrained/derain.safetensors")
    save_model(model, tmp_path / "results/smoke/dehaze/model.safetensors")
    assert load_model("derain").settings == load_model("smoke/dehaze").settings == TINY
    for name, message in [
        ("derian", "did you mean 'derain'"),
        ("smoke/derain", r"train them first: dvc repro train@derain \(profile smoke\)"),
        ("smoke/ablations/ffn", r"train them first: dvc repro ablation@ffn \(profile smoke\)"),
        ("weights/none.safetensors", "no weights file"),
        (str(tmp_path), "is a folder"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            load_model(name)
    (tmp_path / "pretrained/derain.safetensors").unlink()
    with pytest.raises(CheckpointError, match="the package holds none"):
        load_model("derain")
