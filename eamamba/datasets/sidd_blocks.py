"""The validation blocks of SIDD, published as two MATLAB files instead of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eamamba.datasets.errors import DatasetError

NOISY, CLEAN = "ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"


@dataclass(frozen=True)
class Block:
    """One block of a scene; `name` and `read` as for `Pair`.

    Attributes
    ----------
    index : (int, int)
        Number of the scene and of the block, from 0.
    degraded, clean : (H, W, 3) uint8
    """

    index: tuple[int, int]
    degraded: np.ndarray
    clean: np.ndarray
    group: str = ""

    @property
    def name(self) -> str:
        """Scene and block, counted from 1."""
        return f"{self.index[0] + 1:02d}_{self.index[1] + 1:02d}"

    def read(self) -> tuple[Tensor, Tensor]:
        """Return the noisy and the clean block, (3, H, W) float32 in [0, 1]."""
        return _block_to_image(self.degraded), _block_to_image(self.clean)


def sidd_blocks(path: str | os.PathLike[str]) -> list[Block]:
    """Read ``ValidationNoisyBlocksSrgb.mat`` and ``ValidationGtBlocksSrgb.mat``.

    Each holds a variable of the same name, uint8, 40 × 32 × 256 × 256 × 3.

    Returns
    -------
    list of Block
        Ordered by scene, then by block.

    Raises
    ------
    DatasetError
        A file is missing, damaged, or holds something else. One line lists all problems.
    """
    problems: list[str] = []
    noisy, clean = (_read_variable(Path(path), name, problems) for name in (NOISY, CLEAN))
    if not problems and noisy.shape != clean.shape:
        problems.append(f"noisy blocks of shape {noisy.shape}, clean ones of {clean.shape}")
    if problems:
        raise DatasetError(f"{path}: {len(problems)} problem(s): {'; '.join(problems)}", problems)
    return [Block(index, noisy[index], clean[index]) for index in np.ndindex(*noisy.shape[:2])]


def _read_variable(folder: Path, name: str, problems: list[str]) -> np.ndarray:
    import scipy.io  # only for this data set: it is slow to load

    file = folder / f"{name}.mat"
    blocks = np.empty(0)
    if not file.is_file():
        problems.append(f"no {file.name}")
        return blocks
    try:
        blocks = scipy.io.loadmat(file, variable_names=[name]).get(name, blocks)
    except Exception as error:  # scipy raises errors of many kinds for damaged files
        problems.append(f"{file.name}: not a MATLAB file of version 4 to 7.2 ({error})")
        return blocks
    if blocks.ndim != 5 or blocks.shape[-1] != 3 or blocks.dtype != np.uint8:
        problems.append(
            f"{file.name}: {name} is {blocks.dtype} of shape {blocks.shape}; "
            "expected uint8 of shape (scenes, blocks, height, width, 3)"
        )
    return blocks


def _block_to_image(block: np.ndarray) -> Tensor:
    return torch.from_numpy(block.transpose(2, 0, 1).astype(np.float32)).div(255)
