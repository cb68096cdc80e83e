"""Degradations: golden values, and the laws that physical models obey."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from pictures import seeded, shaded_picture
from safetensors.torch import load_file
from torch import Tensor

from eamamba.degradations import (
    DEGRADATIONS,
    bicubic_downsample,
    blind_gaussian_noise,
    crop_to_multiple,
    defocus_blur,
    dual_pixel_defocus,
    evaluation_noise,
    gaussian_noise,
    indoor_haze,
    jpeg,
    low_resolution_camera,
    motion_blur,
    outdoor_haze,
    rain,
    random_depth,
    scatter,
    sensor_noise,
)
from eamamba.degradations.defocus import _composite, _disk, _left_half_disk
from eamamba.degradations.light import to_linear_light, to_srgb
from eamamba.degradations.resize import simulate_low_resolution_camera

GOLDEN = Path(__file__).parent / "golden"
WITH_STRENGTH = {
    "sensor_noise": sensor_noise,
    "motion_blur": motion_blur,
    "defocus_blur": defocus_blur,
    "dual_pixel_defocus": dual_pixel_defocus,
    "indoor_haze": indoor_haze,
    "outdoor_haze": outdoor_haze,
    "rain": rain,
    "low_resolution_camera": partial(low_resolution_camera, scale=1),
}
every_degradation = pytest.mark.parametrize("name", DEGRADATIONS)
every_strength = pytest.mark.parametrize("name", WITH_STRENGTH)


@pytest.fixture
def clean() -> Tensor:
    return shaded_picture()


@every_degradation
def test_only_the_generator_decides(name: str, clean: Tensor) -> None:
    degrade, before, state = DEGRADATIONS[name], clean.clone(), torch.get_rng_state()
    first = degrade(clean, seeded(1))
    assert torch.equal(first, degrade(clean, seeded(1)))
    assert torch.equal(clean, before)
    assert torch.equal(torch.get_rng_state(), state)
    if not name.startswith("bicubic"):
        assert not torch.equal(first, degrade(clean, seeded(2)))


@every_degradation
@pytest.mark.parametrize("size", [(48, 60), (36, 24)])
def test_results_are_images(name: str, size: tuple[int, int], clean: Tensor) -> None:
    image = clean[:, : size[0], : size[1]]
    scale = int(name[-1]) if name.startswith("bicubic") else 1
    channels = 6 if name == "dual_pixel_defocus" else 3
    for seed in range(4):
        result = DEGRADATIONS[name](image, seeded(seed))
        assert result.shape == (channels, size[0] // scale, size[1] // scale)
        assert result.dtype == torch.float32
        assert result.isfinite().all()
        if name != "gaussian_noise":
            assert result.min() >= 0
            assert result.max() <= 1


@every_strength
def test_strength_0_is_the_identity(name: str, clean: Tensor) -> None:
    for seed in range(3):
        result = WITH_STRENGTH[name](clean, seeded(seed), strength=0.0)
        for view in result.split(3):
            torch.testing.assert_close(view, clean, atol=2e-5, rtol=0)


@every_strength
def test_error_grows_with_strength(name: str, clean: Tensor) -> None:
    errors = []
    for strength in (0.2, 1.0):
        results = [
            WITH_STRENGTH[name](clean, seeded(seed), strength=strength)[:3] for seed in range(6)
        ]
        errors.append(sum(float((result - clean).square().mean()) for result in results))
    assert 0 < errors[0] < errors[1]


def test_bicubic_equals_the_golden_resize() -> None:
    golden = load_file(GOLDEN / "bicubic.safetensors")
    image = golden["hr"].permute(2, 0, 1).double() / 255
    for scale in (2, 3, 4):
        expected = golden[f"lr_x{scale}"].permute(2, 0, 1)
        torch.testing.assert_close(bicubic_downsample(image, scale), expected, atol=1e-6, rtol=0)
        single = bicubic_downsample(image.float(), scale)
        torch.testing.assert_close(single, expected.float(), atol=1e-6, rtol=0)


def test_bicubic_takes_multiples_only() -> None:
    with pytest.raises(ValueError, match=r"10x12 pixels: expected multiples of 4"):
        bicubic_downsample(torch.zeros(3, 10, 12), 4)
    assert crop_to_multiple(torch.zeros(3, 10, 13), 4).shape == (3, 8, 12)
    tiny = torch.full((3, 4, 4), 0.3)
    torch.testing.assert_close(bicubic_downsample(tiny, 4), tiny[:, :1, :1])


def test_evaluation_noise_is_the_golden_one() -> None:
    golden = load_file(GOLDEN / "noise_seed2454.safetensors")["noise_3x24x40"]
    state = torch.get_rng_state()
    assert torch.equal(evaluation_noise(3, 24, 40), golden)
    assert torch.equal(torch.get_rng_state(), state)


def test_gaussian_noise_has_the_asked_deviation() -> None:
    clean = torch.full((3, 100, 100), 0.5)
    noise = gaussian_noise(clean, 25, seeded()) - clean
    assert float(noise.std() * 255) == pytest.approx(25, rel=0.02)
    assert float(noise.mean() * 255) == pytest.approx(0, abs=0.5)
    assert torch.equal(gaussian_noise(clean, 0, seeded()), clean)
    deviations = [
        float((blind_gaussian_noise(clean, seeded(seed)) - clean).std() * 255) for seed in range(60)
    ]
    assert 0 < min(deviations) < 10 < 40 < max(deviations) < 51


def test_transfer_curves_are_inverse() -> None:
    values = torch.linspace(0, 1, 1001)
    torch.testing.assert_close(to_srgb(to_linear_light(values)), values, atol=1e-6, rtol=0)
    assert float(to_linear_light(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)


def test_sensor_noise_is_coloured_by_demosaicing_and_keeps_the_mean() -> None:
    clean = torch.full((3, 96, 96), 0.4)
    noise = sensor_noise(clean, seeded(), strength=0.3) - clean
    assert float(noise.mean().abs()) < 0.2 * float(noise.std())
    neighbours = float((noise[..., 1:] * noise[..., :-1]).mean() / noise.var())
    assert neighbours > 0.2  # white noise has 0


def test_motion_blur_keeps_flat_images_and_spreads_a_dot_around_its_place() -> None:
    flat = torch.full((3, 32, 40), 0.3)
    torch.testing.assert_close(motion_blur(flat, seeded()), flat, atol=1e-5, rtol=0)
    dot = torch.zeros(3, 65, 65)
    dot[:, 32, 32] = 1
    rows, columns = torch.meshgrid(*[torch.arange(65) - 32] * 2, indexing="ij")
    distance = (rows**2 + columns**2).sqrt()
    for seed in range(10):
        blurred = motion_blur(dot, seeded(seed), extent_px=(8, 8))[0]
        assert distance[blurred > 1e-3].max() <= 8 * 1.1 + 2**0.5
        light = to_linear_light(blurred)
        for axis in (rows, columns):
            assert abs(float((light * axis).sum() / light.sum())) < 0.5


def test_disks_have_unit_sum_and_halves_that_add_up() -> None:
    for radius in (-6.3, -0.4, 0.0, 0.7, 2.0, 5.5):
        disk, half = _disk(radius), _left_half_disk(radius)
        assert float(disk.sum()) == pytest.approx(1, abs=1e-6)
        assert float(half.sum()) == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close((half + half.flip(1)) / 2, disk)
        torch.testing.assert_close(_left_half_disk(-radius), half.flip(1))
    assert torch.equal(_disk(0.0), torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]))


def test_dual_pixel_views_shift_against_each_other() -> None:
    dot = torch.zeros(3, 41, 41)
    dot[:, 20, 20] = 1
    columns = torch.arange(41.0)

    def disparity(distance: float) -> float:
        depth = torch.full((1, 41, 41), distance)
        left, right = to_linear_light(dual_pixel_defocus(dot, seeded(4), depth=depth)).split(3)
        centres = [float((view * columns).sum() / view.sum()) for view in (left, right)]
        return centres[0] - centres[1]

    assert disparity(0.0) * disparity(1.0) < 0
    assert max(abs(disparity(0.0)), abs(disparity(1.0))) > 1


def test_a_sharp_foreground_covers_a_blurred_background() -> None:
    image = torch.zeros(3, 40, 40)
    image[:, ::2] = 0.8
    depth = torch.ones(1, 40, 40)
    depth[:, :, 20:] = 0
    radii = torch.tensor([6.0, 3.0, 0.0])
    result = _composite(image, depth, radii, _disk)
    torch.testing.assert_close(result[:, :, 20:], image[:, :, 20:])
    assert float(result[:, 10:30, :20].std()) < 0.05


def test_flat_images_stay_flat_under_defocus() -> None:
    flat = torch.full((3, 40, 52), 0.6)
    for seed in range(4):
        torch.testing.assert_close(defocus_blur(flat, seeded(seed)), flat, atol=1e-5, rtol=0)


def test_haze_follows_the_law_of_koschmieder(clean: Tensor) -> None:
    airlight = torch.tensor([0.8, 0.9, 1.0])[:, None, None]
    depth = torch.full((1, *clean.shape[1:]), 2.0)
    expected = clean * 0.36787944 + airlight * (1 - 0.36787944)
    torch.testing.assert_close(scatter(clean, depth, 0.5, airlight), expected)
    near_and_far = torch.linspace(0, 1, 60).expand(1, 48, 60)
    for haze in (indoor_haze, outdoor_haze):
        black = haze(torch.zeros(3, 48, 60), seeded(), depth=near_and_far)
        assert (black.diff(dim=2) > 0).all()
        assert black[..., 0].max() == 0


def test_depth_maps_span_near_to_far() -> None:
    smooth = random_depth(40, 60, seeded())
    assert (float(smooth.min()), float(smooth.max())) == (0.0, 1.0)
    assert smooth.diff(dim=2).abs().max() < 0.2
    outlined = random_depth(40, 60, seeded(), objects=2)
    assert outlined.min() >= 0
    assert outlined.diff(dim=2).abs().max() > 0.2


def test_rain_brightens_dark_scenes_in_streaks() -> None:
    dark = torch.full((3, 64, 64), 0.1)
    wet = rain(dark, seeded(1))
    assert wet.mean() > dark.mean()
    # Streaks fall: neighbours above each other are more alike than neighbours side by side.
    assert wet.diff(dim=1).abs().mean() < wet.diff(dim=2).abs().mean()
    assert torch.equal(wet.amax(0) > 0.5, wet.amin(0) > 0.5)


def test_low_resolution_camera_removes_what_its_grid_cannot_hold() -> None:
    stripes = torch.zeros(3, 48, 48)
    stripes[:, :, ::2] = 1
    seen = low_resolution_camera(stripes, seeded(), scale=4, strength=0.0)
    assert float(seen.std()) < 0.02
    odd = low_resolution_camera(stripes[..., :47], seeded(), scale=4)
    assert odd.shape == (3, 48, 47)


def test_low_resolution_camera_sharpens_what_it_saw(clean: Tensor) -> None:
    stages = simulate_low_resolution_camera(clean, seeded(), scale=2)
    assert stages.sharpened.diff(dim=2).abs().mean() > stages.noisy.diff(dim=2).abs().mean()
    flat = torch.full((3, 24, 24), 0.4)
    kept = simulate_low_resolution_camera(flat, seeded(), scale=2, strength=0.0)
    torch.testing.assert_close(kept.sharpened, kept.noisy)


def test_jpeg_loses_more_at_lower_quality(clean: Tensor) -> None:
    errors = [float((jpeg(clean, quality) - clean).abs().mean()) for quality in (10, 50, 95)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02
