"""Photos, weights and error lines that the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import torch

from eamamba.config import EAMambaSettings, MambaSettings
from eamamba.images import Photo, write_photo
from eamamba.network import EAMamba

PARAMS = Path(__file__).parents[2] / "params.yaml"
SCAN = MambaSettings(scan_count=4, d_state=4)
ALPHA = torch.linspace(0, 1, 9 * 12).view(1, 9, 12)


def network(changes: bool) -> EAMamba:
    """Return a network that changes its input, or one that returns it to the last bit."""
    torch.manual_seed(0)
    blocks = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}
    model = EAMamba(EAMambaSettings(**blocks, mamba_cfg=SCAN))
    if not changes:
        torch.nn.init.zeros_(model.output.weight)
    return model


def picture(path: Path, height: int = 9, width: int = 12, **facts: object) -> Path:
    """Write a random photo; ``facts`` are those of `Photo`."""
    rgb = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    if facts.get("is_gray"):
        rgb = rgb[:1].expand(3, -1, -1)
    path.parent.mkdir(exist_ok=True)
    write_photo(path, Photo(rgb, **facts))
    return path


def lines_said(errors: str) -> list[str]:
    """Return the lines of ``errors`` but those of progress bars."""
    lines = [line for line in errors.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith("denoise_gaussian:")]


def one_error(errors: str) -> str:
    """Return the only line of ``errors``."""
    (line,) = lines_said(errors)
    assert line.startswith("error: ")
    return line


def files(folder: Path) -> list[str]:
    """Names in a folder, sorted; none if it does not exist."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
