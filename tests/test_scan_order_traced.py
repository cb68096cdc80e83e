"""The scan orders of exported graphs are those of the network."""

from __future__ import annotations

import pytest
import torch

from eamamba.export.orders import scan_order as traceable_scan_order
from eamamba.network.scan_order import HEAD_COUNTS, SCAN_ORDERS, scan_order

SIZES = [(1, 1), (1, 7), (8, 1), (2, 3), (8, 8), (9, 16), (17, 5), (40, 33)]


@pytest.mark.parametrize("heads", HEAD_COUNTS)
@pytest.mark.parametrize("pattern", SCAN_ORDERS)
def test_traceable_orders_are_those_of_the_network(pattern: str, heads: int) -> None:
    for height, width in SIZES:
        found = traceable_scan_order(pattern, heads, height, width)
        assert torch.equal(found, scan_order(pattern, heads, height, width)), (height, width)


@pytest.mark.parametrize("pattern", SCAN_ORDERS)
def test_one_graph_has_the_order_of_every_size(pattern: str) -> None:
    class Order(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return traceable_scan_order(pattern, 8, image.shape[0], image.shape[1])

    sides = {axis: torch.export.Dim.DYNAMIC for axis in (0, 1)}
    traced = torch.export.export(Order(), (torch.rand(6, 10),), dynamic_shapes=(sides,)).module()
    for height, width in [(4, 4), (5, 32), (19, 3)]:
        expected = scan_order(pattern, 8, height, width)
        assert torch.equal(traced(torch.rand(height, width)), expected)
