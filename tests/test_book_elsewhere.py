"""The code in the chapter *Use it elsewhere* does what `eamamba.restore` does."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from pictures import seeded

from eamamba.config import EAMambaSettings, MambaSettings
from eamamba.export import export
from eamamba.images import read_image, write_image
from eamamba.network import Network, build
from eamamba.restore import restore

CHAPTER = Path(__file__).parents[1] / "book" / "elsewhere.md"
PYTHON = re.findall(r"```python\n(.*?)```", CHAPTER.read_text(encoding="utf-8"), re.DOTALL)
SETTINGS = EAMambaSettings(
    dim=4,
    num_blocks=(1, 0, 0, 0),
    num_refinement_blocks=0,
    mamba_cfg=MambaSettings(scan_count=2, d_state=2),
)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    """A small network, in the folder that the chapter's code reads from."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return build(SETTINGS).eval().requires_grad_(False)


@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs the extra `export`: pip install onnx onnxscript onnxruntime",
)
def test_photo_without_pytorch(network: Network) -> None:
    export(network, "model.onnx")
    # sides with one tile, two far apart, and three that overlap by more than they must
    for height, width in [(90, 491), (485, 259), (13, 1)]:
        write_image("photo.png", torch.rand(3, height, width, generator=seeded()))
        exec(PYTHON[0].replace("photo.jpg", "photo.png"), {})
        expected = restore(network, read_image("photo.png"), tile=256)
        difference = (255 * (read_image("restored.png") - expected)).abs().max()
        assert difference < 0.501, (height, width)


def test_program_of_torch(network: Network) -> None:
    export(network, "model.pt2", "pt2")
    names: dict[str, torch.Tensor] = {}
    torch.manual_seed(1)
    exec(PYTHON[1], names)
    torch.manual_seed(1)
    torch.testing.assert_close(names["restored"], network(torch.rand(1, 3, 128, 192)))
