"""The published data sets of the paper: their numbers of images and their origins.

Nothing is downloaded here: the sets are free, but most require users to accept their terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from eamamba import paths
from eamamba.config import BUNDLED, DataSettings
from eamamba.datasets.bundled import bundled_photographs, refuse_as_pairs
from eamamba.datasets.errors import DatasetError, as_dataset_error
from eamamba.datasets.folders import PhotoFolder
from eamamba.datasets.layouts import LAYOUTS
from eamamba.datasets.opened import damaged
from eamamba.datasets.pairs import PairedImages

Use = Literal["training", "benchmark"]


@dataclass(frozen=True)
class PublishedSet:
    """A published data set.

    Attributes
    ----------
    homepage : str
        Where its authors publish it.
    images : dict
        Use -> number of images or pairs, by ``data.layout`` where that matters.
    """

    homepage: str
    images: dict[Use, int | dict[str, int]] = field(default_factory=dict)

    def expected(self, use: Use, layout: str) -> int | None:
        """Return the number of images or pairs; None if the paper does not use the set that way."""
        number = self.images.get(use)
        return number.get(layout) if isinstance(number, dict) else number


_BSDS = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/"
_SELFEXSR = "https://github.com/jbhuang0604/SelfExSR"
_SIDD = "https://abdokamel.github.io/sidd/"
_RESIDE = "https://sites.google.com/view/reside-dehaze-datasets/"
_RAIN100 = "https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html"

PUBLISHED: dict[str, PublishedSet] = {
    "DIV2K": PublishedSet("https://data.vision.ee.ethz.ch/cvl/DIV2K/", {"training": 800}),
    "Flickr2K": PublishedSet("https://github.com/limbee/NTIRE2017", {"training": 2650}),
    "WED": PublishedSet("https://ece.uwaterloo.ca/~k29ma/exploration/", {"training": 4744}),
    "BSD400": PublishedSet(_BSDS, {"training": 400}),
    "CBSD68": PublishedSet(_BSDS, {"benchmark": 68}),
    "Kodak24": PublishedSet("https://r0k.us/graphics/kodak/", {"benchmark": 24}),
    "McMaster": PublishedSet(
        "https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm", {"benchmark": 18}
    ),
    "Urban100": PublishedSet(_SELFEXSR, {"benchmark": 100}),
    "SIDD-Medium": PublishedSet(_SIDD, {"training": 320}),
    "SIDD": PublishedSet(_SIDD, {"benchmark": 1280}),
    "GoPro": PublishedSet(
        "https://seungjunnah.github.io/Datasets/gopro", {"training": 2103, "benchmark": 1111}
    ),
    "HIDE": PublishedSet("https://github.com/joanshen0508/HA_deblur", {"benchmark": 2025}),
    "DPDD": PublishedSet(
        "https://github.com/Abdullah-Abuolaim/defocus-deblurring-dual-pixel",
        {"training": 350, "benchmark": 76},
    ),
    "ITS": PublishedSet(_RESIDE, {"training": 13_990}),
    "OTS": PublishedSet(_RESIDE, {"training": 313_950}),
    "SOTS-indoor": PublishedSet(_RESIDE, {"benchmark": 500}),
    "SOTS-outdoor": PublishedSet(_RESIDE, {"benchmark": 500}),
    "RealSR": PublishedSet(
        "https://github.com/csjcai/RealSR",
        {"training": {"realsr_x2": 406, "realsr_x3": 459, "realsr_x4": 400}, "benchmark": 100},
    ),
    "Rain13K": PublishedSet("https://github.com/swz30/MPRNet", {"training": 13_711}),
    "Rain100H": PublishedSet(_RAIN100, {"benchmark": 100}),
    "Rain100L": PublishedSet(_RAIN100, {"benchmark": 100}),
    "Test100": PublishedSet("https://github.com/hezhangsprinter/ID-CGAN", {"benchmark": 98}),
    "Test1200": PublishedSet("https://github.com/hezhangsprinter/DID-MDN", {"benchmark": 1200}),
    "Test2800": PublishedSet(
        "https://xueyangfu.github.io/projects/cvpr2017.html", {"benchmark": 2800}
    ),
    "Set5": PublishedSet(_SELFEXSR, {"benchmark": 5}),
    "Set14": PublishedSet(_SELFEXSR, {"benchmark": 14}),
    "B100": PublishedSet(_BSDS, {"benchmark": 100}),
}
"""Name of a set in ``data.training_set`` or ``data.benchmarks`` -> its facts."""


def check(data: DataSettings, *, decode: bool = False, progress: bool = False) -> pd.DataFrame:
    """Look for every data set of a task and compare it with the published facts.

    Pairs are matched and their sizes compared.

    Parameters
    ----------
    data : DataSettings
    decode : bool
        Also decode every image, once: see `opened.damaged`.
    progress : bool
        Show a progress bar on standard error, on a terminal only.

    Returns
    -------
    DataFrame
        set, use (``training`` or ``benchmark``), place, found and expected (images or pairs; None
        for unknown), problems (a list of str; empty if the set can be used), notes (a list of str:
        what was skipped), homepage.
    """
    rows = []
    uses: dict[Use, dict[str, str]] = {"training": data.training_set, "benchmark": data.benchmarks}
    for use, locations in uses.items():
        for name, location in locations.items():
            found = _Found()
            try:
                with as_dataset_error(location):
                    found = _inspect(data, name, location, use)
            except DatasetError as error:
                found.problems += error.problems
            if decode:
                found.problems += damaged(found.files, progress=progress).values()
            rows.append(_row(data, name, location, use, found))
    return pd.DataFrame(rows).astype({"found": object, "expected": object})


@dataclass
class _Found:
    """The contents of a data set's folder."""

    number: int = 0
    files: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _row(data: DataSettings, name: str, location: str, use: Use, found: _Found) -> dict[str, Any]:
    published = PUBLISHED.get(name)
    return {
        "set": name,
        "use": use,
        "place": location if location == BUNDLED else str(paths.dataset(location)),
        "found": found.number,
        "expected": published.expected(use, data.layout) if published else None,
        "problems": found.problems,
        "notes": found.notes,
        "homepage": published.homepage if published else "",
    }


def _inspect(data: DataSettings, name: str, location: str, use: Use) -> _Found:
    if location == BUNDLED:
        refuse_as_pairs(data.layout, name)
        return _Found(len(bundled_photographs("train" if use == "training" else "held_out")))
    folder = paths.dataset(location)
    if data.layout == "photographs":
        photos = PhotoFolder(folder)
        return _Found(len(photos), photos.paths, notes=photos.notes)
    layout = LAYOUTS[data.layout]
    pairs = layout.found(folder) if use == "training" else layout.found_test(folder)
    found = _Found(len(pairs))
    if isinstance(pairs, PairedImages):
        found.problems, found.notes = list(pairs.problems), pairs.notes
        for pair in pairs:
            if problem := pair.problem():
                found.problems.append(problem)  # it names a file that cannot be opened
            else:
                found.files += [*pair.degraded, pair.clean]
    return found
