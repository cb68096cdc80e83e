"""Write restored images in the formats that benchmark servers and scripts expect."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
from torch import Tensor

from eamamba.evaluation.cases import Case
from eamamba.files import write_atomically
from eamamba.images import write_image

SIDD_VARIABLE = "Idenoised"
_HEADER_BYTES = 116  # of text, at the start of a MATLAB 5.0 file


class Export:
    """Write restored images to a folder while a test runs, of which several processes may do parts.

    Images are 8-bit PNG files, ``<benchmark>/<image>.png``, or ``<benchmark>/<level>/<image>.png``
    if noise is tested at several levels. The blocks of SIDD go to ``Idenoised.mat`` instead, as the
    variable ``Idenoised``: float32 in [0, 1], scenes × blocks × H × W × 3.

    Parameters
    ----------
    folder : Path
    layout : str
        ``data.layout`` of the settings.
    unfinished : Path
        Folder that holds the blocks until all are there.
    """

    def __init__(self, folder: Path, layout: str, unfinished: Path) -> None:
        self.folder, self.as_blocks = folder, layout == "sidd"
        self._unfinished = unfinished

    def file(self, case: Case) -> Path:
        """Return the file of one image, or of one block."""
        if self.as_blocks:
            return self._unfinished / case.benchmark / f"{case.image}.npy"
        level = case.condition if case.condition.startswith("sigma") else ""
        return self.folder / case.benchmark / level / f"{case.image.removesuffix('.png')}.png"

    def add(self, case: Case, restored: Tensor) -> None:
        """Add one restored image, (3, H, W) in [0, 1]."""
        file = self.file(case)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not self.as_blocks:
            write_image(file, restored)
            return
        buffer = io.BytesIO()
        np.save(buffer, restored.permute(1, 2, 0).cpu().numpy().astype(np.float32))
        write_atomically(file, buffer.getvalue())

    def close(self, *, complete: bool = True) -> None:
        """Write the files that need all images, if all were added."""
        if complete and self.as_blocks:
            for folder in sorted(self._unfinished.iterdir()):
                _write_matlab(folder, self.folder / folder.name / f"{SIDD_VARIABLE}.mat")
        shutil.rmtree(self._unfinished, ignore_errors=True)


def _write_matlab(folder: Path, target: Path) -> None:
    """Put the blocks of a folder, ``<scene>_<block>.npy``, into one file."""
    import scipy.io  # only for MATLAB files: it is slow to load

    files = {tuple(int(n) - 1 for n in file.stem.split("_")): file for file in folder.iterdir()}
    scenes, numbers = (max(place[axis] for place in files) + 1 for axis in (0, 1))
    together = np.stack([np.load(files[place]) for place in np.ndindex(scenes, numbers)])
    array = together.reshape(scenes, numbers, *together.shape[1:])
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {SIDD_VARIABLE: array}, do_compression=True)
    # The header's free text holds the time; equal images should give equal files.
    header = b"MATLAB 5.0 MAT-file".ljust(_HEADER_BYTES)
    write_atomically(target, header + buffer.getvalue()[_HEADER_BYTES:])
