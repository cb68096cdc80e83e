"""Scores and pictures of a network while it trains, on images that it does not train on."""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor

from eamamba.config import TaskSettings
from eamamba.datasets.benchmarks import centre_crop
from eamamba.evaluation import Cases, Example, examples
from eamamba.network import Network

VALIDATION_FILE = "validation.csv"
PICTURE_FILE = "validation.jpg"
# Sides of the crops in a picture, and the number of its rows.
_SIDE, _ROWS = 160, 6


def check_images(settings: TaskSettings) -> None:
    """Raise `DatasetError` if a training is to be validated on images that are missing."""
    if settings.training.validate_every:
        Cases(settings)


def validate(network: Network, settings: TaskSettings) -> list[Example]:
    """Restore and score the first ``training.validation_images`` images of each benchmark.

    They are what `eamamba.evaluation.evaluate` scores, by the protocol of the task.
    """
    return examples(network.eval(), settings, first=settings.training.validation_images)


def mean_scores(found: list[Example]) -> dict[str, float]:
    """Return the mean of each score over all images and noise levels, such as ``psnr_db``."""
    return {name: fmean(one.scores[name] for one in found) for name in found[0].scores}


def picture(found: list[Example]) -> Tensor:
    """Return the centres of the first images: input, restored and true, a row for each.

    Returns
    -------
    (3, H, W) in [0, 1]
    """
    shown = found[:_ROWS]
    side = min(_SIDE, *(length for one in shown for length in one.clean.shape[-2:]))
    rows = [
        torch.cat([centre_crop(image.cpu(), side) for image in images], dim=-1)
        for images in ((one.degraded, one.restored, one.clean) for one in shown)
    ]
    return torch.cat(rows, dim=-2).clamp(0, 1)
