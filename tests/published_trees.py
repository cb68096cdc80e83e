"""Tiny trees of the published data sets, one function for each layout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

HEIGHT, WIDTH = 48, 60


def pixels(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_pairs(root: Path, degraded: str, clean: str) -> None:
    image = pixels(1)
    write(root / clean, image)
    write(root / degraded, image // 2 + 40)


def write_photographs(root: Path) -> None:
    for place in ("DIV2K/DIV2K_train_HR", "Flickr2K", "WED", "BSD400"):
        write(root / place / "0001.png", pixels(0))
    for place in ("CBSD68", "Kodak24", "McMaster", "Urban100/HR"):
        write(root / place / "a.png", pixels(0))


def write_sidd(root: Path) -> None:
    scene = "SIDD_Medium_Srgb/Data/0001_001_S6"
    for number in ("010", "011"):
        names = (f"{scene}/0001_{kind}_SRGB_{number}.PNG" for kind in ("NOISY", "GT"))
        write_pairs(root, *names)
    blocks = np.stack([pixels(n, 24, 24) for n in range(6)]).reshape(2, 3, 24, 24, 3)
    folder = root / "SIDD_validation"
    folder.mkdir()
    for name, values in (("Noisy", blocks // 2), ("Gt", blocks)):
        variable = f"Validation{name}BlocksSrgb"
        scipy.io.savemat(folder / f"{variable}.mat", {variable: values})


def write_folders(root: Path, *names: str) -> None:
    for name in names:
        write_pairs(root / name, "input/a.png", "target/a.png")


def write_dpdd(root: Path) -> None:
    for split in ("train", "test"):
        for number in range(3):
            image = pixels(number)
            write(root / f"DPDD/{split}_c/target/1P0A{number}5.png", image)
            for view in "clr":
                write(root / f"DPDD/{split}_{view}/source/1P0A{number}1.png", image // 2)
    np.save(root / "DPDD/indoor_labels.npy", np.array([0, 2]))
    np.save(root / "DPDD/outdoor_labels.npy", np.array([1]))


def write_reside(root: Path, training: str, test: str) -> None:
    write_pairs(root / "RESIDE" / training, "hazy/0001_0.8_0.2.jpg", "gt/0001.png")
    write_pairs(root / "RESIDE" / test, "hazy/1400_10.png", "gt/1400.png")


def write_realsr(root: Path, scale: int) -> None:
    for camera in ("Canon", "Nikon"):
        for split in ("Train", "Test"):
            folder = root / "RealSR" / camera / split / str(scale)
            write_pairs(folder, f"x_001_LR{scale}.png", "x_001_HR.png")


def write_bicubic(root: Path, scale: int) -> None:
    places = ["DIV2K/DIV2K_train_", *(f"{name}/" for name in ("Set5", "Set14", "B100", "Urban100"))]
    for place in places:
        image = pixels(1, 24 * scale, 30 * scale + 1)  # a column without counterpart
        write(root / f"{place}HR/0001.png", image)
        small = np.asarray(Image.fromarray(image).resize((30, 24)))
        write(root / f"{place}LR_bicubic/X{scale}/0001x{scale}.png", small)
    write(root / "DIV2K/DIV2K_valid_HR/0801.png", pixels(0))


RAIN = ("Rain13K", "Rain100H", "Rain100L", "Test100", "Test1200", "Test2800")
TREES: dict[str, Callable[[Path], None]] = {
    "denoise_gaussian": write_photographs,
    "denoise_real": write_sidd,
    "deblur_motion": lambda root: write_folders(root, "GoproTrain", "GoproTest", "HideTest"),
    "deblur_defocus": write_dpdd,
    "deblur_defocus_dual": write_dpdd,
    "dehaze_indoor": lambda root: write_reside(root, "ITS", "SOTS/indoor"),
    "dehaze_outdoor": lambda root: write_reside(root, "OTS", "SOTS/outdoor"),
    "derain": lambda root: write_folders(root, *RAIN),
}
TREES |= {f"sr_real_x{scale}": partial(write_realsr, scale=scale) for scale in (2, 3, 4)}
TREES |= {f"sr_light_x{scale}": partial(write_bicubic, scale=scale) for scale in (2, 3, 4)}
