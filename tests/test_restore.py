"""Padding, tiling and ensembling obey laws that hold for any network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.images import Photo
from eamamba.network import EAMamba, EAMambaSR, set_backend
from eamamba.restore import RestoreError, memory, pad_to_multiple, restore, restore_photo
from eamamba.restore.tiles import ramp, tile_starts

SIZES = [(1, 1), (1, 9), (3, 5), (8, 8), (17, 40), (64, 33)]
every_size = pytest.mark.parametrize("size", SIZES)


class Identity(nn.Module):
    """Returns its input, enlarged by repeating pixels; counts its calls and their pixels."""

    def __init__(self, size_multiple: int = 8, upscale: int = 1) -> None:
        super().__init__()
        self.size_multiple, self.upscale = size_multiple, upscale
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape[-1] % self.size_multiple == image.shape[-2] % self.size_multiple == 0
        self.shapes.append(tuple(image.shape))
        return image.repeat_interleave(self.upscale, -1).repeat_interleave(self.upscale, -2)


class Ramps(Identity):
    """Adds what depends on the place in the input: not equivariant to flips."""

    def forward(self, image: Tensor) -> Tensor:
        rows = torch.linspace(0, 1, image.shape[-2])[:, None] ** 2
        columns = torch.linspace(0, 1, image.shape[-1]) ** 3
        return super().forward(image) + rows + columns


class Constants(Identity):
    """Answers its n-th call with n everywhere."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.full_like(super().forward(image), float(len(self.shapes)))


def photo(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network() -> EAMamba:
    torch.manual_seed(0)
    settings = EAMambaSettings(
        dim=8,
        num_blocks=(1, 1, 1, 1),
        num_refinement_blocks=1,
        mamba_cfg=MambaSettings(scan_count=4, d_state=4),
    )
    model = EAMamba(settings).eval()
    set_backend(model, "reference")
    return model


@every_size
@pytest.mark.parametrize("upscale", [1, 2, 3])
@pytest.mark.parametrize("self_ensemble", [0, 4, 8])
@pytest.mark.parametrize("tile", [None, 16])
def test_identity_is_returned_to_the_last_bit(
    size: tuple[int, int], upscale: int, self_ensemble: int, tile: int | None
) -> None:
    image = photo(2, 3, *size)
    restored = restore(Identity(upscale=upscale), image, self_ensemble=self_ensemble, tile=tile)
    expected = image.repeat_interleave(upscale, -1).repeat_interleave(upscale, -2)
    assert torch.equal(restored, expected)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
def test_padding_equals_numpy(height: int, width: int, multiple: int) -> None:
    image = photo(1, height, width)
    added = ((0, 0), (0, -height % multiple), (0, -width % multiple))
    expected = np.pad(image.numpy(), added, mode="reflect")
    assert torch.equal(pad_to_multiple(image, multiple), torch.from_numpy(expected))


def test_padding_of_few_pixels_goes_back_and_forth() -> None:
    row = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert pad_to_multiple(row, 8)[0, 0].tolist() == [1, 2, 3, 2, 1, 2, 3, 2]
    assert torch.equal(pad_to_multiple(torch.ones(1, 1, 1), 8), torch.ones(1, 8, 8))


@given(st.integers(1, 60), st.integers(2, 12), st.data())
def test_tiles_cover_and_overlap(blocks: int, tile_blocks: int, data: st.DataObject) -> None:
    multiple = data.draw(st.sampled_from([1, 8]))
    length, tile = blocks * multiple, tile_blocks * multiple
    overlap = data.draw(st.integers(0, tile // 2))
    starts = tile_starts(length, tile, overlap, multiple)
    assert starts[0] == 0
    assert all(start % multiple == 0 for start in starts)
    assert starts[-1] + tile == length or (starts == [0] and length <= tile)
    shared = [a + tile - b for a, b in itertools.pairwise(starts)]
    assert all(overlap <= n < tile for n in shared)


def test_tile_weights_sum_to_one() -> None:
    rise = ramp(20)
    torch.testing.assert_close(rise + rise.flip(0), torch.ones(20, dtype=torch.float64))
    assert (rise.diff() > 0).all()
    assert 0 < rise[0] < 0.01


def test_tiles_blend_without_a_seam() -> None:
    model = Constants()
    output = restore(model, torch.zeros(3, 48, 80), tile=32, overlap=16, clip=False)
    assert len(model.shapes) == 2 * 4
    assert output.min() >= 1
    assert output.max() <= 8
    assert output[0, 0, 0] == 1
    assert output[0, -1, -1] == 8
    # neighbouring pixels differ by no more than the ramp's steepest step between two answers
    steepest = ramp(16).diff().max().item()
    assert output.diff(dim=-1).abs().max() <= steepest + 1e-6
    assert output.diff(dim=-2).abs().max() <= 4 * steepest + 1e-6


def test_no_call_sees_more_than_a_tile() -> None:
    model = Identity()
    calls: list[tuple[int, int]] = []
    restore(model, photo(3, 100, 70), tile=39, progress=lambda *n: calls.append(n))
    assert set(model.shapes) == {(1, 3, 32, 32)}
    assert calls == [(n + 1, len(model.shapes)) for n in range(len(model.shapes))]


def test_ensembles_average_over_what_they_name() -> None:
    image, model = photo(3, 16, 16), Ramps()
    members = [model(image.flip(flips)).flip(flips) for flips in ((), (-1,), (-2,), (-2, -1))]
    transposed = [
        model(image.flip(flips).mT).mT.flip(flips) for flips in ((), (-1,), (-2,), (-2, -1))
    ]
    four, eight = torch.stack(members).mean(0), torch.stack(members + transposed).mean(0)
    assert not torch.allclose(four, eight)
    for choice, expected in ((4, four), (True, four), (8, eight), (0, members[0])):
        restored = restore(model, image, self_ensemble=choice, clip=False)  # type: ignore[arg-type]
        torch.testing.assert_close(restored, expected)


def test_eight_members_are_equivariant(network: EAMamba) -> None:
    image = photo(3, 16, 8)
    restored = restore(network, image, self_ensemble=8)
    for turn in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT):
        turned = restore(network, turn(image).contiguous(), self_ensemble=8)
        torch.testing.assert_close(turned, turn(restored), rtol=0, atol=1e-6)


@every_size
def test_network_restores_any_size(network: EAMamba, size: tuple[int, int]) -> None:
    image = photo(3, *size)
    height, width = size
    restored = restore(network, image)
    assert restored.shape == image.shape
    assert restored.min() >= 0
    assert restored.max() <= 1
    with torch.no_grad():
        padded = pad_to_multiple(image[None], 8)
        expected = network(padded)[0, :, :height, :width].clamp(0, 1)
    assert torch.equal(restored, expected)


def test_result_can_take_part_in_a_loss(network: EAMamba) -> None:
    weight = torch.ones(1, requires_grad=True)
    (restore(network, photo(3, 8, 8), clip=False) * weight).sum().backward()
    assert weight.grad is not None


def test_super_resolution_enlarges_tiles() -> None:
    torch.manual_seed(0)
    settings = EAMambaSRSettings(
        dim=8, num_blocks=(1,), upscale=3, mamba_cfg=MambaSettings(scan_count=4, d_state=4)
    )
    model = EAMambaSR(settings).eval()
    set_backend(model, "reference")
    image = photo(3, 12, 20)
    whole, tiled = restore(model, image), restore(model, image, tile=10, overlap=4)
    assert whole.shape == tiled.shape == (3, 36, 60)
    assert (whole - tiled).abs().max() < 0.1  # tiles see less of the image, hence no equality


def test_type_and_rank_are_those_of_the_image() -> None:
    image = photo(3, 9, 9).double()
    assert restore(Identity(), image).dtype == torch.float64
    assert restore(Identity(), image[None]).shape == (1, 3, 9, 9)
    assert restore(Identity(), 2 * image).max() == 1
    assert torch.equal(restore(Identity(), 2 * image, clip=False), 2 * image)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), {}, "floating"),
        (torch.zeros(8, 8), {}, r"shape \(8, 8\)"),
        (torch.zeros(3, 0, 8), {}, "shape"),
        (torch.zeros(3, 8, 8), {"tile": 15}, "expected 16 or more"),
        (torch.zeros(3, 8, 8), {"tile": 32, "overlap": 17}, "0 to 16"),
        (torch.zeros(3, 8, 8), {"tile": 32, "overlap": -1}, "0 to 16"),
        (torch.zeros(3, 8, 8), {"self_ensemble": 2}, "expected 4 or 8"),
    ],
)
def test_what_makes_no_sense_is_refused(image: Tensor, options: dict, message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        restore(Identity(), image, **options)


class Failing(Identity):
    """Raises what it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, image: Tensor) -> Tensor:
        del image
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
    ],
)
def test_full_memory_is_told(error: Exception) -> None:
    with pytest.raises(RestoreError, match="choose smaller tiles, such as 64"):
        restore(Failing(error), photo(3, 128, 128), tile=128)


def test_other_errors_of_the_network_pass() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        restore(Failing(RuntimeError("a bug")), photo(3, 8, 8))


def test_automatic_tiles_follow_the_free_memory(
    network: EAMamba, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.zeros(1, 3, 1024, 2048)
    needed = 1024 * 2048 * memory.activation_bytes(network.settings)

    def side(free: float, batch: int = 1) -> int | None:
        monkeypatch.setattr(memory, "free_memory", lambda _: free)
        return memory.fitting_tile(network, image.expand(batch, -1, -1, -1))

    assert side(2 * needed) is None
    sides = [side(needed / n) for n in (1, 2, 8, 32)]
    assert sides == sorted(sides, reverse=True)
    assert all(side**2 <= 1024 * 2048 for side in sides)
    assert side(needed, batch=4) < sides[0]
    assert side(0) == memory.SMALLEST_TILE
    assert memory.fitting_tile(Identity(), image) is None


def test_some_memory_is_free() -> None:
    assert memory.free_memory(torch.device("cpu")) > 0


def test_photo_keeps_what_its_file_holds() -> None:
    gray = photo(1, 9, 7).expand(3, -1, -1)
    original = Photo(gray, photo(1, 9, 7), is_gray=True, bits=16, icc_profile=b"x", exif=b"y")
    restored = restore_photo(Identity(), original)
    assert torch.equal(restored.rgb, original.rgb)
    assert torch.equal(restored.alpha, original.alpha)
    assert (restored.is_gray, restored.bits) == (True, 16)
    assert (restored.icc_profile, restored.exif) == (b"x", b"y")


def test_transparency_grows_with_the_photo() -> None:
    original = Photo(photo(3, 9, 7), torch.ones(1, 9, 7))
    restored = restore_photo(Identity(upscale=2), original)
    assert restored.rgb.shape == (3, 18, 14)
    torch.testing.assert_close(restored.alpha, torch.ones(1, 18, 14))
