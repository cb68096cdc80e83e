"""The uncertainty of an average over images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 10_000
LEVEL = 0.95


def paired_interval(differences: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean difference, paired by image.

    Percentiles of the means of 10 000 resamples of the images. It reflects the choice of images,
    not the randomness of training.

    Parameters
    ----------
    differences : sequence of float
        One per image, such as the PSNR of the output minus that of the input, in dB.
    seed : int
        Seed of the resampling; the same differences give the same interval.

    Returns
    -------
    low, high : float
        In the units of `differences`; both NaN for fewer than two images or if any is infinite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan"), float("nan")
    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
