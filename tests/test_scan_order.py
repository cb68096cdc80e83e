"""Scan orders: golden values, and the laws every order obeys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from eamamba.config import SettingsError
from eamamba.network.scan_order import HEAD_COUNTS, SCAN_ORDERS, scan_order

GOLDEN = load_file(Path(__file__).parent / "golden/orders/scan_orders.safetensors")
SIZES = [(1, 1), (1, 7), (7, 1), (5, 9), (16, 24), (33, 8)]
every_pattern = pytest.mark.parametrize("pattern", SCAN_ORDERS)


@pytest.mark.parametrize("key", GOLDEN)
def test_orders_equal_the_golden_ones(key: str) -> None:
    pattern, heads, size = key.split(".")
    height, width = (int(number) for number in size.split("x"))
    order = scan_order(pattern, int(heads), height, width)
    assert order.dtype == torch.int32
    assert order.is_contiguous()
    assert torch.equal(order, GOLDEN[key])


@every_pattern
@pytest.mark.parametrize("heads", HEAD_COUNTS)
@pytest.mark.parametrize("size", SIZES)
def test_every_head_visits_every_pixel_once(pattern: str, heads: int, size: tuple) -> None:
    order = scan_order(pattern, heads, *size)
    assert order.shape == (heads, size[0] * size[1])
    everything = torch.arange(size[0] * size[1], dtype=torch.int32)
    assert torch.equal(order.sort(dim=1).values, everything.expand(heads, -1))


@every_pattern
def test_fewer_heads_are_the_first_of_eight(pattern: str) -> None:
    eight = scan_order(pattern, 8, 6, 10)
    for heads in HEAD_COUNTS:
        assert torch.equal(scan_order(pattern, heads, 6, 10), eight[:heads])
    assert torch.equal(eight[0].long(), torch.from_numpy(SCAN_ORDERS[pattern](6, 10)))


@pytest.mark.parametrize("pattern", [name for name in SCAN_ORDERS if name != "raster"])
def test_heads_are_the_base_order_on_symmetric_copies(pattern: str) -> None:
    height, width = 6, 10
    order = scan_order(pattern, 8, height, width).numpy()
    image = np.arange(height * width).reshape(height, width)
    copies = [image, np.rot90(image, 2), np.fliplr(image), np.flipud(image)]
    for head, copy in enumerate(copies):
        np.testing.assert_array_equal(order[head], copy.ravel()[order[0]])
    np.testing.assert_array_equal(order[4:], scan_order("raster", 4, height, width).numpy())


def test_eight_raster_heads_are_the_symmetries_of_the_rectangle() -> None:
    order = scan_order("raster", 8, 6, 10)
    assert len({tuple(head.tolist()) for head in order}) == 8
    for head in (0, 2, 4, 6):
        assert torch.equal(order[head + 1], order[head].flip(0))


@pytest.mark.parametrize("size", [(8, 8), (32, 32)])
def test_hilbert_steps_from_neighbour_to_neighbour(size: tuple) -> None:
    row, column = np.divmod(SCAN_ORDERS["hilbert"](*size), size[1])
    assert np.all(np.abs(np.diff(row)) + np.abs(np.diff(column)) == 1)


def test_orders_are_computed_once_and_usable_after_inference_mode() -> None:
    with torch.inference_mode():
        first = scan_order("diagonal", 8, 11, 13)
    second = scan_order("diagonal", 8, 11, 13, torch.device("cpu"))
    assert second.data_ptr() == first.data_ptr()
    assert not second.is_inference()
    assert scan_order("diagonal", 8, 11, 13, "meta").is_meta


def test_fake_tensors_do_not_stay_in_the_cache() -> None:
    with FakeTensorMode():
        assert isinstance(scan_order("diagonal", 2, 12, 13), FakeTensor)
    assert not isinstance(scan_order("diagonal", 2, 12, 13), FakeTensor)


def test_orders_without_values_are_not_computed() -> None:
    order = scan_order("diagonal", 8, 10**5, 10**5, "meta")
    assert (order.shape, order.dtype) == ((8, 10**10), torch.int32)


def test_compiled_functions_take_the_order_as_a_constant() -> None:
    def visit(image: torch.Tensor) -> torch.Tensor:
        order = scan_order("diagonal", 2, *image.shape, image.device)
        return image.flatten()[order.long()]

    image = torch.rand(4, 6)
    compiled = torch.compile(visit, backend="eager", fullgraph=True)
    assert torch.equal(compiled(image), visit(image))


def test_large_images_work() -> None:
    for pattern in ("hilbert", "zorder"):
        order = scan_order(pattern, 1, 512, 640)[0]
        assert torch.equal(order.sort().values, torch.arange(512 * 640, dtype=torch.int32))


def test_unknown_settings_are_named() -> None:
    with pytest.raises(SettingsError, match=r"'diagnal': no such pattern \(did you mean 'diag"):
        scan_order("diagnal", 8, 4, 4)
    with pytest.raises(SettingsError, match=r"3 scan heads.*1, 2, 4 or 8"):
        scan_order("raster", 3, 4, 4)
    with pytest.raises(ValueError, match="0x4 pixels"):
        scan_order("raster", 4, 0, 4)
