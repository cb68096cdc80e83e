"""Write restored images in the formats that benchmark servers and scripts expect."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from torch import Tensor

from eamamba.evaluation.cases import Case
from eamamba.files import write_atomically
from eamamba.images import write_image

SIDD_VARIABLE = "Idenoised"


class Export:
    """Write restored images to a folder while a test runs.

    Images are 8-bit PNG files, ``<benchmark>/<image>.png``, or ``<benchmark>/<level>/<image>.png``
    if noise is tested at several levels. The blocks of SIDD go to ``Idenoised.mat`` instead, as the
    variable ``Idenoised``: float32 in [0, 1], scenes × blocks × H × W × 3.

    Parameters
    ----------
    folder : Path
    layout : str
        ``data.layout`` of the settings.
    """

    def __init__(self, folder: Path, layout: str) -> None:
        self.folder, self.as_blocks = folder, layout == "sidd"
        self._blocks: dict[str, dict[tuple[int, int], np.ndarray]] = {}

    def add(self, case: Case, restored: Tensor) -> None:
        """Add one restored image, (3, H, W) in [0, 1]."""
        if self.as_blocks:
            scene, block = (int(number) - 1 for number in case.image.split("_"))
            blocks = self._blocks.setdefault(case.benchmark, {})
            blocks[scene, block] = restored.permute(1, 2, 0).cpu().numpy().astype(np.float32)
            return
        level = case.condition if case.condition.startswith("sigma") else ""
        image = self.folder / case.benchmark / level / f"{case.image.removesuffix('.png')}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, restored)

    def close(self, *, complete: bool = True) -> None:
        """Write the files that need all images, if all were added."""
        if not complete:
            return
        import scipy.io  # only for MATLAB files: it is slow to load

        for benchmark, blocks in self._blocks.items():
            scenes, numbers = (max(place[axis] for place in blocks) + 1 for axis in (0, 1))
            together = np.stack([blocks[place] for place in np.ndindex(scenes, numbers)])
            target = self.folder / benchmark / f"{SIDD_VARIABLE}.mat"
            array = together.reshape(scenes, numbers, *together.shape[1:])
            buffer = io.BytesIO()
            scipy.io.savemat(buffer, {SIDD_VARIABLE: array}, do_compression=True)
            write_atomically(target, buffer.getvalue())
