"""Test a network by the protocols of the paper's tables (paper section 4).

A task is a row of `PROTOCOLS`: how its test images are degraded, and how they are measured.
Scores are averaged over images, never over pixels of different images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor
from tqdm import tqdm

from eamamba import paths
from eamamba.checkpoint import write_atomically
from eamamba.config import BUNDLED, DataSettings, EvaluationSettings, SettingsError, TaskSettings
from eamamba.datasets import PhotoFolder, bundled_photographs
from eamamba.degradations import evaluation_noise
from eamamba.memory import reuse_large_blocks
from eamamba.metrics import PAPER_CROP, psnr, ssim
from eamamba.restore import Restorer, pad_to_multiple, restore

Scores = dict[str, float]
Metrics = dict[str, dict[str, dict[str, float | int | None]]]

# Significant: more than any table shows, fewer than differ between processors.
_DIGITS = "%.6g"


@dataclass(frozen=True)
class Protocol:
    """How a task is tested.

    Attributes
    ----------
    conditions : function of the evaluation settings
        Label -> parameters of `degrade`, which become columns of ``per_image.csv``.
    degrade : function of (clean image, size multiple, parameters)
        Returns what the network sees; it may be padded to the right and the bottom.
    measure : function of (image, clean image)
        Name -> score of one image; ``psnr_db`` is among them.
    """

    conditions: Callable[[EvaluationSettings], dict[str, dict[str, float]]]
    degrade: Callable[..., Tensor]
    measure: Callable[[Tensor, Tensor], Scores]


@dataclass(frozen=True)
class Example:
    """A test image with what was made of it, each (3, H, W) float32.

    Attributes
    ----------
    name : str
    clean : Tensor in [0, 1]
    degraded : Tensor
        Noise is not clipped.
    restored : Tensor in [0, 1]
    """

    name: str
    clean: Tensor
    degraded: Tensor
    restored: Tensor


def _noise_levels(evaluation: EvaluationSettings) -> dict[str, dict[str, float]]:
    return {f"sigma{sigma:g}": {"sigma_255": sigma} for sigma in evaluation.sigmas_255}


def add_protocol_noise(clean: Tensor, multiple: int, *, sigma_255: float) -> Tensor:
    """Add the Gaussian noise of the published protocol to a padded image.

    Parameters
    ----------
    clean : (C, H, W) in [0, 1]
    multiple : int
        Pad to a multiple of it by reflection; the size decides which noise is drawn.
    sigma_255 : float
        Standard deviation in 8-bit units.

    Returns
    -------
    (C, H', W'), not clipped
        Padded to the right and the bottom: the noise continues there, it is not reflected.
    """
    padded = pad_to_multiple(clean, multiple)
    channels, height, width = padded.shape
    return padded + evaluation_noise(channels, height, width) * (sigma_255 / 255)


def rgb_scores(image: Tensor, clean: Tensor) -> Scores:
    """Return PSNR over all channels and the channel-wise SSIM of the paper's tables."""
    return {"psnr_db": psnr(image, clean), "ssim": ssim(image, clean, crop=PAPER_CROP)}


PROTOCOLS: dict[str, Protocol] = {
    "gaussian_noise": Protocol(_noise_levels, add_protocol_noise, rgb_scores),
}
"""Degradation (``data.degradation`` in the settings) -> how it is tested."""


def clean_images(data: DataSettings) -> dict[str, Iterable[tuple[str, Tensor]]]:
    """Return the clean images of every benchmark: name and (3, H, W), read one at a time.

    Raises
    ------
    DatasetError
        If a benchmark's folder is missing or has no images.
    """
    return {
        benchmark: _held_out(data) if source == BUNDLED else _in_folder(source)
        for benchmark, source in data.benchmarks.items()
    }


def _held_out(data: DataSettings) -> list[tuple[str, Tensor]]:
    photographs = bundled_photographs("held_out").items()
    size = data.held_out_size
    return [(name, centre_crop(image, size) if size else image) for name, image in photographs]


def _in_folder(source: str) -> Iterable[tuple[str, Tensor]]:
    folder = PhotoFolder(paths.project_root() / source, cache_bytes=0)
    return zip((path.name for path in folder.paths), folder, strict=True)


def centre_crop(image: Tensor, size: int) -> Tensor:
    """Return the middle of (..., H, W), at most ``size`` pixels high and wide."""
    height, width = image.shape[-2:]
    top, left = max(height - size, 0) // 2, max(width - size, 0) // 2
    return image[..., top : top + size, left : left + size]


def evaluate(
    model: Restorer, settings: TaskSettings, output: Path, *, progress: bool = True
) -> Metrics:
    """Restore every image of every benchmark and write the scores.

    Parameters
    ----------
    model : EAMamba or another network that `restore` takes
        On any device, in eval mode.
    settings : TaskSettings
        Its benchmarks and its test conditions.
    output : Path
        Folder for ``per_image.csv`` (benchmark, image, the condition's parameters, each score
        of the input and of the output) and ``metrics.json`` (what is returned). They hold no
        times: the same weights on the same machine give the same bytes.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    dict
        benchmark -> condition (such as ``sigma25``) -> means over the images:
        ``psnr_input_db``, ``psnr_db``, ``gain_db``, ``ssim_input``, ``ssim``, ``images``.

    Raises
    ------
    SettingsError
        If there is no protocol for the task.
    DatasetError
        If a benchmark's folder is missing or has no images.

    Notes
    -----
    The protocol of the paper's tables: the output is clipped to [0, 1] and not rounded, the
    noisy input is measured as it is; images are restored whole, without tiles.
    """
    reuse_large_blocks()
    protocol = _protocol(settings)
    conditions = protocol.conditions(settings.evaluation)
    bar = tqdm(desc=f"{settings.task}: images", disable=not progress, mininterval=1.0)
    rows: list[dict[str, Any]] = []
    metrics: Metrics = {}
    with bar:
        for benchmark, images in clean_images(settings.data).items():
            scores: dict[str, list[Scores]] = {label: [] for label in conditions}
            for name, clean in images:
                for label, parameters in conditions.items():
                    example = _restored(model, settings, protocol, parameters, name, clean)
                    measured = _measure(protocol, example)
                    scores[label].append(measured)
                    rows.append({"benchmark": benchmark, "image": name} | parameters | measured)
                    bar.update()
            metrics[benchmark] = {label: _means(part) for label, part in scores.items()}
    table = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format=_DIGITS)
    write_atomically(output / "per_image.csv", table.encode())
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(output / "metrics.json", text.encode())
    return metrics


def examples(
    model: Restorer,
    settings: TaskSettings,
    sigma_255: float,
    names: Collection[str] | None = None,
) -> list[Example]:
    """Restore test images for a figure.

    Parameters
    ----------
    model, settings : as for `evaluate`
    sigma_255 : float
        Noise level in 8-bit units, any.
    names : collection of str, optional
        Which images of ``per_image.csv``; all of them by default.
    """
    protocol, parameters = _protocol(settings), {"sigma_255": sigma_255}
    return [
        _restored(model, settings, protocol, parameters, name, clean)
        for images in clean_images(settings.data).values()
        for name, clean in images
        if names is None or name in names
    ]


def _protocol(settings: TaskSettings) -> Protocol:
    kind = settings.data.degradation
    if kind not in PROTOCOLS:
        raise SettingsError(
            f"data.degradation: no test protocol for {kind!r}; there is one for "
            f"{', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[kind]


def _restored(
    model: Restorer,
    settings: TaskSettings,
    protocol: Protocol,
    parameters: Mapping[str, float],
    name: str,
    clean: Tensor,
) -> Example:
    degraded = protocol.degrade(clean, model.size_multiple, **parameters)
    restored = restore(model, degraded, self_ensemble=settings.evaluation.self_ensemble, tile=None)
    height, width = clean.shape[-2:]
    crop = (..., slice(height), slice(width))
    return Example(name, clean, degraded[crop], restored[crop])


def _measure(protocol: Protocol, example: Example) -> Scores:
    """Return each score of the degraded input and of the output: ``psnr_input_db``, ``psnr_db``."""
    before = protocol.measure(example.degraded, example.clean)
    after = protocol.measure(example.restored, example.clean)
    scores: Scores = {}
    for name, value in after.items():
        scores[_of_input(name)] = before[name]
        scores[name] = value
    return scores


def _of_input(name: str) -> str:
    return f"{name.removesuffix('_db')}_input" + ("_db" if name.endswith("_db") else "")


def _means(scores: list[Scores]) -> dict[str, float | int | None]:
    """Average over images; None where a mean is infinite (JSON has no such number)."""
    means = {name: math.fsum(s[name] for s in scores) / len(scores) for name in scores[0]}
    means["gain_db"] = means["psnr_db"] - means["psnr_input_db"]
    rounded = {n: float(_DIGITS % v) if math.isfinite(v) else None for n, v in means.items()}
    return rounded | {"images": len(scores)}
