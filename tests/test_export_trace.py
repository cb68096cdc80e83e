"""Graphs for any size: their scan orders are those of the network, their backend is any."""

from __future__ import annotations

import pytest
import torch

from eamamba.config import EAMambaSRSettings, MambaSettings
from eamamba.export.orders import scan_order as traceable_scan_order
from eamamba.export.trace import trace
from eamamba.network import EAMambaSR, set_backend
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


def test_trace_leaves_the_backend_to_the_machine_and_the_model_as_it_is() -> None:
    settings = EAMambaSRSettings(
        dim=8, num_blocks=(1,), mamba_cfg=MambaSettings(scan_count=2, d_state=2)
    )
    model = EAMambaSR(settings)
    set_backend(model, "reference")
    scans = [node for node in trace(model).graph.nodes if "selective_scan" in str(node.target)]
    assert [node.args[-2:] for node in scans] == [("auto", False)]  # and saves no states
    assert model.layers[0].blocks[0].mamba.backend == "reference"
    assert all(weight.requires_grad for weight in model.parameters())
