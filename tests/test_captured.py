"""Replaying a network instead of launching it; what it does on a GPU is in test_gpu.py."""

from __future__ import annotations

import torch

from eamamba.config import EAMambaSRSettings
from eamamba.network import EAMambaSR
from eamamba.restore import Captured, restore


def test_capturing_changes_nothing_on_a_cpu() -> None:
    torch.manual_seed(0)
    network = EAMambaSR(EAMambaSRSettings(dim=8, num_blocks=(1,), upscale=2)).eval()
    image = torch.rand(3, 21, 30)
    for _ in range(3):
        assert torch.equal(restore(Captured(network), image), restore(network, image))
