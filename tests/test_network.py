"""Networks: golden outputs and gradients of every variant, the released layout, and laws."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import l1_loss

from eamamba.config import (
    EAMambaSettings,
    EAMambaSRSettings,
    MambaSettings,
    ModelSettings,
    validate,
)
from eamamba.network import EAMamba, EAMambaSR, Network, build, layers, set_backend
from eamamba.selective_scan import Backend

FOLDER = Path(__file__).parent / "golden/network"
GOLDEN = json.loads((FOLDER / "cases.json").read_text())
LAYOUTS = json.loads((FOLDER / "state_dict_layout.json").read_text())
SETTINGS = {"eamamba": EAMambaSettings, "eamambasr": EAMambaSRSettings}
every_case = pytest.mark.parametrize("case", GOLDEN["cases"])
TINY = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}


def settings_from(arguments: dict, architecture: str) -> ModelSettings:
    """Read the arguments of a released file; `checkpoint` has its own, more lenient reader."""
    model = SETTINGS[architecture]
    known = {name: value for name, value in arguments.items() if name in model.model_fields}
    return validate(model, known | {"architecture": architecture}, "golden case")


@cache
def golden(case: str) -> dict[str, Tensor]:
    """Return a case's tensors; those equal to an earlier case's are stored once."""
    with safe_open(FOLDER / "cases.safetensors", "pt") as file:
        stored, alias = list(file.keys()), GOLDEN["same_tensor_as"]
        names = [name for name in (*stored, *alias) if name.startswith(f"{case}.")]
        return {
            name.removeprefix(f"{case}."): file.get_tensor(alias.get(name, name)) for name in names
        }


def golden_model(case: str, backend: Backend) -> Network:
    info, prefix = GOLDEN["cases"][case], "state_dict."
    model = build(settings_from(info["args"], info["architecture"]))
    weights = {k.removeprefix(prefix): v for k, v in golden(case).items() if k.startswith(prefix)}
    model.load_state_dict(weights)
    set_backend(model, backend)
    return model


def tiny(**changes: object) -> EAMamba:
    scan = {"scan_count": 4, "d_state": 16} | changes.pop("mamba_cfg", {})  # type: ignore[operator]
    torch.manual_seed(0)
    model = EAMamba(EAMambaSettings(**TINY | changes, mamba_cfg=MambaSettings(**scan)))
    set_backend(model, "cpu")
    return model


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def error(measured: Tensor, expected: Tensor) -> float:
    return float((measured.detach().double() - expected).abs().max() / expected.abs().max())


def check_golden(case: str, backend: Backend) -> None:
    model, tensors = golden_model(case, backend), golden(case)
    output = model(tensors["input"])
    loss = l1_loss(output, tensors["target"])
    loss.backward()
    assert output.shape == tensors["output"].shape
    assert error(output, tensors["output"]) < 1e-5
    assert loss.item() == pytest.approx(GOLDEN["cases"][case]["l1_loss"], rel=1e-5)
    gradients = dict(model.named_parameters())
    for name, expected in zip(sorted(gradients), tensors["grad_norm"].tolist(), strict=True):
        gradient = gradients[name].grad
        assert gradient is not None, name
        assert gradient.double().norm().item() == pytest.approx(expected, rel=1e-4), name


@every_case
def test_outputs_and_gradients_are_the_golden_ones(case: str) -> None:
    check_golden(case, "cpu")


@pytest.mark.parametrize("case", ["raster2", "sr_x2"])
def test_the_reference_backend_gives_the_golden_values_too(case: str) -> None:
    check_golden(case, "reference")


def test_other_shapes_give_the_golden_output() -> None:
    tensors = golden("paper_tiny")
    with torch.no_grad():
        output = golden_model("paper_tiny", "cpu")(tensors["input_tall"])
    assert error(output, tensors["output_tall"]) < 1e-5


@every_case
def test_working_in_pieces_gives_the_golden_output(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "PIECE", 1000)  # below the golden inputs' maps
    with torch.inference_mode():
        output = golden_model(case, "cpu")(golden(case)["input"])
    assert error(output, golden(case)["output"]) < 1e-5


def test_working_in_pieces_changes_nothing_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = golden_model("paper_tiny", "cpu"), golden("paper_tiny")["input"]
    outputs = []
    for piece in (layers.PIECE, 1000):
        monkeypatch.setattr(layers, "PIECE", piece)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            outputs.append(model(image).double())
    assert outputs[0].isfinite().all()
    assert error(outputs[1], outputs[0]) < 1e-2  # a sum that rounds the other way in bfloat16


def test_pieces_have_a_limited_size_and_cover_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "PIECE", 60)
    seen: list[tuple[int, ...]] = []

    def first_four(x: Tensor, y: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return x[..., :4] * y

    x, y = picture(2, 5, 7, 6), picture(2, 5, 7, 4)
    with torch.no_grad():
        result = layers.add_in_pieces(y, first_four, x, y)
    assert seen == [(15, 6)] * 4 + [(10, 6)]  # the last piece is shorter
    assert torch.equal(result, y + x[..., :4] * y)
    seen.clear()
    with torch.no_grad():
        strided = layers.add_in_pieces(
            y.transpose(0, 2), first_four, *(z.transpose(0, 2) for z in (x, y))
        )
    assert torch.equal(strided.transpose(0, 2), result)
    seen.clear()
    layers.add_in_pieces(y, first_four, x, y)
    assert seen == [(2, 5, 7, 6)], "the backward pass needs the whole map's intermediates anyway"


@pytest.mark.parametrize("name", LAYOUTS)
def test_parameters_have_the_released_names_shapes_and_order(name: str) -> None:
    layout = LAYOUTS[name]
    architecture = "eamambasr" if "sr" in name else "eamamba"
    with torch.device("meta"):
        model = build(settings_from(layout["args"], architecture))
    state = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert list(state.items()) == list(layout["state_dict"].items())
    assert list(state) == [name for name, _ in model.named_parameters()]
    assert sum(p.numel() for p in model.parameters()) == layout["parameters"]


def test_the_defaults_are_the_published_models() -> None:
    assert settings_from(LAYOUTS["eamamba_paper"]["args"], "eamamba") == EAMambaSettings()
    light = LAYOUTS["eamambasr_light_x2"]["args"]
    assert settings_from(light, "eamambasr") == EAMambaSRSettings()


# Sizes whose heads are as wide as those of the golden cases: no more kernels to compile.
VARIANTS = [
    {"mamba_cfg": {"scan_count": 1}},
    {"mamba_cfg": {"scan_count": 8, "scan_type": "raster"}, "dim": 16},
    {"mamba_cfg": {"scan_count": 8, "scan_merge_method": "add"}},
    {"mamba_cfg": {"scan_count": 2, "expand": 0.5}},
    {"layernorm_type": "BiasFree", "bias": True},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_variants_without_golden_values_agree_with_the_reference(changes: dict) -> None:
    model, image = tiny(**changes), picture(1, 3, 16, 24)
    results = {}
    for backend in ("cpu", "reference"):
        set_backend(model, backend)
        model.zero_grad()
        output = model(image)
        (output**2).mean().backward()
        gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
        results[backend] = output.detach(), gradients
    assert error(results["cpu"][0], results["reference"][0].double()) < 1e-5
    assert error(results["cpu"][1], results["reference"][1].double()) < 1e-4
    assert torch.isfinite(results["cpu"][1]).all()


@pytest.mark.parametrize("shape", [(1, 3, 16, 20), (1, 3, 12, 16), (1, 4, 16, 16), (3, 16, 16)])
def test_wrong_shapes_are_refused_with_the_shape_that_came(shape: tuple) -> None:
    expected = "multiples of 8.*pads any size" if shape[1] == 3 else r"\(batch, 3, H, W\)"
    with pytest.raises(ValueError, match=expected):
        tiny()(torch.zeros(shape))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_takes_any_size(scale: int) -> None:
    settings = EAMambaSRSettings(
        dim=8, num_blocks=(1, 1), upscale=scale, mamba_cfg=MambaSettings(scan_count=4)
    )
    model = EAMambaSR(settings)
    set_backend(model, "cpu")
    with torch.no_grad():
        assert model(picture(1, 3, 7, 13)).shape == (1, 3, 7 * scale, 13 * scale)
        assert model(picture(1, 3, 1, 1)).shape == (1, 3, scale, scale)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    model, images = tiny().double(), picture(3, 3, 16, 16).double()  # float32 rounds visibly
    with torch.no_grad():
        together = model(images)
        apart = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, apart, rtol=1e-9, atol=1e-9)


def test_any_memory_layout_of_the_input_gives_the_same_output() -> None:
    model, image = tiny(), picture(1, 3, 16, 24)
    with torch.no_grad():
        plain = model(image)
        channels_last = model(image.to(memory_format=torch.channels_last))
    torch.testing.assert_close(plain, channels_last, rtol=1e-5, atol=1e-6)


def test_a_silent_last_convolution_returns_the_input() -> None:
    model, image = tiny(), picture(1, 3, 16, 16)
    torch.nn.init.zeros_(model.output.weight)
    with torch.no_grad():
        assert torch.equal(model(image), image)


def gradients_of(model: EAMamba, image: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    model(image).abs().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_recomputing_blocks_gives_the_same_gradients() -> None:
    image = picture(1, 3, 16, 16)
    kept = tiny(num_blocks=(2, 1, 1, 1))
    recomputing = tiny(num_blocks=(2, 1, 1, 1), checkpoint_percentage=0.5)
    assert [recomputing.encoder_level1.recomputed, recomputing.latent.recomputed] == [1, 0]
    expected = gradients_of(kept, image)
    measured = gradients_of(recomputing, image)
    assert expected.keys() == measured.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(measured[name], gradient, rtol=1e-5, atol=1e-8, msg=name)


def test_every_parameter_matters() -> None:
    gradients = gradients_of(tiny(bias=True), picture(1, 3, 16, 16))
    silent = [name for name, gradient in gradients.items() if not gradient.any()]
    assert not silent
    assert gradients.keys() == dict(tiny(bias=True).named_parameters()).keys()
