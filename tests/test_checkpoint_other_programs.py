"""Wrapped networks are saved plainly; state dicts of other training programs are understood."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from eamamba.checkpoint import CheckpointError, CheckpointWarning, load_model, save_model
from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings, ModelSettings
from eamamba.network import EAMamba, Network, build

SMALL: dict[str, Any] = {"dim": 8, "num_blocks": (1, 2, 0, 1), "num_refinement_blocks": 1}
SCAN = {"scan_count": 4, "d_state": 4}


def scan(**changes: Any) -> MambaSettings:
    return MambaSettings(**(SCAN | changes))


def network(settings: ModelSettings | None = None) -> Network:
    torch.manual_seed(0)
    return build(settings or EAMambaSettings(**SMALL, mamba_cfg=scan()))


def compiled(model: nn.Module) -> nn.Module:
    """Wrap as `torch.compile` does; which compiler it would call does not matter here."""
    return torch.compile(model, backend="eager")


def compiled_inside(model: Network) -> nn.Module:
    assert isinstance(model, EAMamba)
    model.encoder_level1 = compiled(model.encoder_level1)  # type: ignore[assignment]
    return model


WRAPPERS: dict[str, Callable[[Network], nn.Module]] = {
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "averaged": AveragedModel,
    "all": lambda model: compiled(nn.DataParallel(AveragedModel(model))),
    "inside": compiled_inside,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_network_is_saved_as_it_is(tmp_path: Path, wrapper: str) -> None:
    save_model(network(), tmp_path / "plain.safetensors")
    save_model(WRAPPERS[wrapper](network()), tmp_path / "wrapped.safetensors")
    contents = [(tmp_path / f"{n}.safetensors").read_bytes() for n in ("plain", "wrapped")]
    assert contents[0] == contents[1]
    load_model(tmp_path / "wrapped.safetensors")


def test_other_networks_are_not_saved(tmp_path: Path) -> None:
    for model in (nn.Linear(1, 1), nn.DataParallel(nn.Linear(1, 1))):
        with pytest.raises(TypeError, match="expected EAMamba or EAMambaSR"):
            save_model(model, tmp_path / "x.safetensors")


def assert_loads(path: Path, content: object, expected: Network) -> None:
    torch.save(content, path)
    with pytest.warns(CheckpointWarning, match="the paper.s scan_type"):
        loaded = load_model(path)
    assert loaded.settings == expected.settings
    for name, weight in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: weight for name, weight in network().state_dict().items()}


@pytest.mark.parametrize("container", ["params_ema", "params", "state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "net_g."])
def test_containers_and_prefixes(tmp_path: Path, container: str | None, prefix: str) -> None:
    state = prefixed(prefix)
    extra = {"epoch": 3, "best_psnr": np.float64(31.5), "optimizer": {"state": {}, "lr": [1e-3]}}
    content = state if container is None else {container: state} | extra
    assert_loads(tmp_path / "other.pth", content, network())


def test_average_of_several_is_taken(tmp_path: Path) -> None:
    raw = {name: weight + 1 for name, weight in network().state_dict().items()}
    assert_loads(tmp_path / "a.pth", {"params": raw, "params_ema": prefixed("")}, network())
    lightning = {f"net.{name}": weight for name, weight in raw.items()} | prefixed("ema_net.")
    assert_loads(tmp_path / "b.ckpt", {"state_dict": lightning}, network())
    assert_loads(tmp_path / "c.pth", AveragedModel(network()).state_dict(), network())
    with pytest.warns(CheckpointWarning):
        loaded = load_model(tmp_path / "a.pth", weights="raw")
    name = "output.weight"
    assert torch.equal(loaded.state_dict()[name], raw[name])


def test_released_layout_with_a_prefix(tmp_path: Path) -> None:
    model = network()
    args = model.settings.model_dump(mode="json", exclude={"architecture"})
    content = {"model": {"name": "eamamba", "args": args, "sd_e": prefixed("module.")}}
    torch.save(content, tmp_path / "released.pth")
    loaded = load_model(tmp_path / "released.pth")
    assert torch.equal(loaded.state_dict()["output.weight"], model.state_dict()["output.weight"])


@pytest.mark.parametrize(
    "settings",
    [
        EAMambaSettings(),
        EAMambaSettings(inp_channels=6, dual_pixel_task=True, bias=True, **SMALL),
        EAMambaSettings(**SMALL, layernorm_type="BiasFree", mamba_cfg=scan(scan_count=1)),
        EAMambaSettings(**SMALL, mamba_cfg=scan(scan_merge_method="add", disable_z_branch=True)),
        EAMambaSettings(**SMALL, mamba_cfg=scan(expand=2, d_conv=5)),
        EAMambaSettings(**SMALL, mamba_cfg=scan(conv_2d=False, d_conv=4)),
        EAMambaSettings(**SMALL, channel_mixer_type="ffn", ffn_expansion_factor=1.5),
        EAMambaSettings(**SMALL, channel_mixer_type="cca"),
        *(EAMambaSRSettings(dim=16, num_blocks=(2, 1), upscale=s) for s in (2, 3, 4)),
    ],
    ids=repr,
)
def test_shapes_tell_the_settings(tmp_path: Path, settings: ModelSettings) -> None:
    with torch.device("meta"):
        shapes = build(settings).state_dict()
    state = {name: torch.zeros(()).expand(weight.shape) for name, weight in shapes.items()}
    torch.save({"params": state}, tmp_path / "other.pth")
    with pytest.warns(CheckpointWarning):
        assert load_model(tmp_path / "other.pth").settings == settings


def test_rounded_widths_fit(tmp_path: Path) -> None:
    model = network(
        EAMambaSettings(dim=48, num_blocks=(1, 1, 1, 1), channel_mixer_type="gdfn",
                        ffn_expansion_factor=2.66)
    )  # fmt: skip
    torch.save({"params": model.state_dict()}, tmp_path / "other.pth")
    with pytest.warns(CheckpointWarning):
        loaded = load_model(tmp_path / "other.pth")
    assert loaded.settings.model_copy(update={"ffn_expansion_factor": 2.66}) == model.settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"params_ema": {}}, "expected a checkpoint with"),
        ({"state_dict": {"conv.weight": torch.ones(1)}}, "expected a checkpoint with"),
        ({"patch_embed.proj.weight": torch.ones(8, 3, 3, 3)}, "not the tensors of eamamba"),
        ({"conv_first.weight": torch.ones(8, 3, 3, 3)}, "not the tensors of eamambasr"),
        ({"model": {"conv_first.weight": torch.ones(())}}, "not the tensors of eamambasr"),
        ({"params": prefixed("") | {"more": torch.ones(1)}}, "has unknown more"),
    ],
)
@pytest.mark.filterwarnings("ignore::eamamba.checkpoint.CheckpointWarning")
def test_what_does_not_fit_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=message) as raised:
        load_model(tmp_path / "other.pth")
    assert "\n" not in str(raised.value)


def test_average_alone_holds_no_raw_weights(tmp_path: Path) -> None:
    torch.save({"params_ema": prefixed("")}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="the raw weights"):
        load_model(tmp_path / "other.pth", weights="raw")
