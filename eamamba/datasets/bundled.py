"""Photographs bundled with scikit-image and scikit-learn: no download to train and test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from torch import Tensor

from eamamba.datasets.errors import DatasetError
from eamamba.images import ImageError, read_image

Split = Literal["train", "held_out"]


@dataclass(frozen=True)
class BundledPhotograph:
    """A photograph in an installed package.

    Attributes
    ----------
    name : str
    split : {'train', 'held_out'}
        No photograph is in both.
    package, file : str
        The package, and the path inside it.
    credit, licence, source : str
        Author, licence and origin.
    """

    name: str
    split: Split
    package: str
    file: str
    credit: str
    licence: str
    source: str


_SCIKIT_IMAGE, _SCIKIT_LEARN = "skimage", "sklearn"

BUNDLED_PHOTOGRAPHS: tuple[BundledPhotograph, ...] = (
    BundledPhotograph(
        "astronaut", "train", _SCIKIT_IMAGE, "data/astronaut.png",
        "NASA", "public domain", "https://flic.kr/p/r9qvLn",
    ),
    BundledPhotograph(
        "rocket", "train", _SCIKIT_IMAGE, "data/rocket.jpg",
        "SpaceX", "public domain", "https://www.flickr.com/photos/spacexphotos/16511594820/",
    ),
    BundledPhotograph(
        "china", "train", _SCIKIT_LEARN, "datasets/images/china.jpg",
        "danielbuechele", "CC BY 2.0", "https://www.flickr.com/photos/danielbuechele/6061409035/",
    ),
    BundledPhotograph(
        "flower", "train", _SCIKIT_LEARN, "datasets/images/flower.jpg",
        "vultilion", "CC BY 2.0", "https://www.flickr.com/photos/vultilion/6056698931/",
    ),
    BundledPhotograph(
        "camera", "train", _SCIKIT_IMAGE, "data/camera.png",
        "Lav Varshney", "CC0", "https://scikit-image.org/docs/stable/api/skimage.data.html",
    ),
    BundledPhotograph(
        "hubble_deep_field", "train", _SCIKIT_IMAGE, "data/hubble_deep_field.jpg",
        "NASA", "public domain",
        "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
    BundledPhotograph(
        "immunohistochemistry", "train", _SCIKIT_IMAGE, "data/ihc.png",
        "Center for Microscopy And Molecular Imaging", "no known copyright restrictions",
        "https://scikit-image.org/docs/stable/api/skimage.data.html",
    ),
    BundledPhotograph(
        "brick", "train", _SCIKIT_IMAGE, "data/brick.png",
        "CC0Textures", "CC0", "https://cc0textures.com/view.php?tex=Bricks25",
    ),
    BundledPhotograph(
        "grass", "train", _SCIKIT_IMAGE, "data/grass.png",
        "linolafett", "CC0", "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
    ),
    BundledPhotograph(
        "gravel", "train", _SCIKIT_IMAGE, "data/gravel.png",
        "CC0Textures", "CC0", "https://cc0textures.com/view.php?tex=Gravel04",
    ),
    BundledPhotograph(
        "chelsea", "held_out", _SCIKIT_IMAGE, "data/chelsea.png",
        "Stefan van der Walt", "CC0",
        "https://scikit-image.org/docs/stable/api/skimage.data.html",
    ),
    BundledPhotograph(
        "coffee", "held_out", _SCIKIT_IMAGE, "data/coffee.png",
        "Rachel Michetti, Pikolo Espresso Bar", "CC0",
        "https://scikit-image.org/docs/stable/api/skimage.data.html",
    ),
    BundledPhotograph(
        "motorcycle", "held_out", _SCIKIT_IMAGE, "data/motorcycle_left.png",
        "D. Scharstein et al., Middlebury Stereo Datasets 2014",
        "no licence stated; cite GCPR 2014", "https://vision.middlebury.edu/stereo/data/scenes2014/",
    ),
)  # fmt: skip


def bundled_photographs(split: Split) -> dict[str, Tensor]:
    """Return the photographs of one part of the fixed split, by name.

    Returns
    -------
    dict of Tensor (3, H, W) float32 in [0, 1]
        Shared between calls: do not modify them.

    Raises
    ------
    DatasetError
        An installed package lacks its photographs.
    """
    return {
        photo.name: _load_photograph(photo) for photo in BUNDLED_PHOTOGRAPHS if photo.split == split
    }


def refuse_as_pairs(layout: str, setting: str) -> None:
    """Raise `DatasetError` if the settings require pairs, which these photographs are not.

    Otherwise they would silently get ``data.degradation``, by default Gaussian noise.
    """
    if layout != "photographs":
        raise DatasetError(
            f"{setting}: bundled photographs are not pairs, which data.layout {layout!r} requires; "
            "name a folder of pairs, or set data.layout to photographs and choose a degradation"
        )


def credits() -> str:
    """Return one line per photograph: name, split, author, licence and source."""
    return "\n".join(
        f"{photo.name} ({photo.split.replace('_', '-')}): {photo.credit}; {photo.licence}; "
        f"{photo.source}"
        for photo in BUNDLED_PHOTOGRAPHS
    )


@lru_cache(maxsize=len(BUNDLED_PHOTOGRAPHS))
def _load_photograph(photo: BundledPhotograph) -> Tensor:
    try:
        return read_image(_package_folder(photo.package) / photo.file)
    except (ImageError, ModuleNotFoundError) as error:
        raise DatasetError(
            f"bundled photograph {photo.name!r}: {photo.package}/{photo.file} is not installed "
            f"({error}); reinstall scikit-image and scikit-learn from PyPI"
        ) from error


def _package_folder(package: str) -> Path:
    """Return the folder of a package without importing it: scikit-learn takes a second."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"no package {package}")
    return Path(found.origin).parent
