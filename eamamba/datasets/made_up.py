"""Synthetic training sets in the layout of the published ones, to try training without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from eamamba.config import DataSettings

Size = tuple[int, int]
"""Width and height in pixels."""

_CAMERAS = ("Canon", "Nikon")
_SCALES = (2, 3, 4)
# Layout -> the files of one pair, the clean one last, and their approximate published size; {n} is
# the number of the pair.
_LAYOUTS: dict[str, tuple[tuple[str, ...], Size]] = {
    "photographs": (("{n:04}.png",), (2040, 1356)),
    "pairs": (("input/{n:04}.png", "target/{n:04}.png"), (1280, 720)),
    "sidd": (
        (
            "Data/{n:04}_S6/{n:04}_NOISY_SRGB_010.PNG",
            "Data/{n:04}_S6/{n:04}_GT_SRGB_010.PNG",
        ),
        (5328, 3000),
    ),
    "dpdd": (("train_c/source/{n:04}.png", "train_c/target/{n:04}.png"), (1680, 1120)),
    "dpdd_dual_pixel": (
        (
            "train_l/source/{n:04}.png",
            "train_r/source/{n:04}.png",
            "train_c/target/{n:04}.png",
        ),
        (1680, 1120),
    ),
    "reside": (("hazy/{n:04}_0.8_0.2.png", "gt/{n:04}.png"), (620, 460)),
    "city100": (("{n:03}L.PNG", "{n:03}H.PNG"), (1218, 870)),
}
for _scale in _SCALES:
    _folder = f"{{camera}}/Train/{_scale}"
    _files = (f"{_folder}/{{n:04}}_LR{_scale}.png", f"{_folder}/{{n:04}}_HR.png")
    _LAYOUTS[f"realsr_x{_scale}"] = _files, (1500, 1000)
    _small = f"DIV2K_train_LR_bicubic/X{_scale}/{{n:04}}x{_scale}.png"
    _LAYOUTS[f"bicubic_x{_scale}"] = (_small, "DIV2K_train_HR/{n:04}.png"), (2040, 1356)


def made_up_training_set(
    data: DataSettings, folder: Path, *, size: Size | None = None, pairs: int = 2
) -> DataSettings:
    """Write a training set of random pictures with file names like those of the real one.

    Parameters
    ----------
    data : DataSettings
        Only its layout and the names of its training sets matter.
    folder : Path
        Each set gets its own folder in it.
    size : (int, int), optional
        Width and height in pixels; by default about those of the published images.
    pairs : int
        Number of pairs, or photographs, in each set.

    Returns
    -------
    DataSettings
        The same settings, with the training sets that were written.
    """
    names, usual = _LAYOUTS[data.layout]
    width, height = size or usual
    places = {}
    for number, name in enumerate(data.training_set):
        places[name] = str(folder / str(number))
        for pair in range(1, pairs + 1):
            clean = _picture(width, height, seed=pair)
            small = clean.resize((width // data.kind.scale, height // data.kind.scale))
            for file in names:
                path = folder / str(number) / file.format(n=pair, camera=_CAMERAS[pair % 2])
                path.parent.mkdir(parents=True, exist_ok=True)
                (clean if file == names[-1] else small).save(path, compress_level=1)
    return data.model_copy(update={"training_set": places})


def _picture(width: int, height: int, seed: int) -> Image.Image:
    """Return smooth colours with the grain of a photograph, which determines the reading speed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 216, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    grain = rng.integers(-4, 5, (height, width, 3), dtype=np.int8)
    return Image.fromarray((smooth.astype(np.int16) + grain).clip(0, 255).astype(np.uint8))
