"""Half precision: what works on a CPU, and what to do instead of what does not."""

from __future__ import annotations

import pytest
import torch

from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.network import Network, build

SCAN = MambaSettings(scan_count=4, d_state=4)
NETWORKS = [
    EAMambaSettings(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, mamba_cfg=SCAN),
    EAMambaSRSettings(dim=8, num_blocks=(1,), mamba_cfg=SCAN),
]


@pytest.fixture(params=NETWORKS, ids=lambda settings: settings.architecture)
def model(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return build(request.param).eval()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_on_a_cpu_says_what_to_use(model: Network, kind: torch.dtype) -> None:
    with pytest.raises(TypeError, match=rf"{kind} on a CPU: .*model\.float\(\).*autocast"):
        model.to(kind)(torch.rand(1, 3, 8, 8, dtype=kind))


def test_what_the_error_advises_works(model: Network) -> None:
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        expected = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            assert (model(image).float() - expected).abs().max() < 0.05
        assert (model.half().float()(image) - expected).abs().max() < 0.01
