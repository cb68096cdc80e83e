"""``eamamba restore``: photographs in, photographs out."""

from __future__ import annotations

import difflib
import mimetypes
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    ProfileOption,
    WeightsOption,
    choose_device,
    choose_weights,
)
from eamamba.cli.explaining import explained
from eamamba.config import EAMambaError

if TYPE_CHECKING:
    from eamamba.images import Photo
    from eamamba.restore import Progress, Restorer, Tile

# Kinds of pictures that are not written, and that Python has no name for.
_OTHER_IMAGES = (".dng", ".exr", ".hdr", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".raw", ".tga")


@dataclass(frozen=True)
class Job:
    """One photograph: where to read it and where to write the restored version."""

    source: Path
    target: Path


def restore(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO", help="Image files or folders of images.")
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="OUT", help="A file for one photo, or a folder."),
    ],
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="What to restore, such as denoise_gaussian.")
    ] = None,
    weights: WeightsOption = None,
    profile: ProfileOption = None,
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Average over 4 flips: better, 4 times slower.")
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(min=16, help="Tile size in pixels. Default: as large as memory allows."),
    ] = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Allow replacing the input files.")
    ] = False,
) -> None:
    """Restore photographs.

    Bit depth, grayscale, transparency and colour profile are kept. A file that cannot be read does
    not stop the others.
    """
    _choose_warnings()
    jobs, failures = plan_jobs(photos, output, overwrite)
    for failure in failures:
        typer.echo(f"error: {failure}", err=True)
    if jobs:
        from eamamba.checkpoint import load_model

        file = choose_weights(task, weights, profile)
        model = load_model(file, choose_device(device))
        typer.echo(f"weights: {file}")
        succeeded = [_restore_or_explain(model, job, self_ensemble, tile or "auto") for job in jobs]
        if all(succeeded) and not failures:
            return
    raise typer.Exit(2)


def _choose_warnings() -> None:
    # Pillow warns of odd metadata and large sizes; neither hinders reading the pixels.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("always", module=r"eamamba\.")  # said of every photo


def plan_jobs(
    photos: list[str], output: str, overwrite: bool
) -> tuple[list[Job], list[EAMambaError]]:
    """Return what to read and where to write it, plus an error for each folder without images.

    Parameters
    ----------
    photos : list of str
        Files and folders.
    output : str
        The file to write for a single photo; otherwise a folder, for files with the same names.
    overwrite : bool
        Whether an output may replace an input.

    Raises
    ------
    CommandError
        If outputs would replace inputs or each other, or ``output`` is unsuitable.
    """
    from eamamba.images import ImageError, check_place, list_images

    target, failures = Path(output), []
    sources: list[Path] = []
    for photo in photos:
        try:
            sources += list_images(photo) if os.path.isdir(photo) else [Path(photo)]
        except ImageError as error:
            failures.append(error)
    is_single = len(photos) == 1 and not os.path.isdir(photos[0])
    if _names_file(output):
        if not is_single:
            raise CommandError(f"{target}: several photos need a folder to be written to")
        _check_suffix(target)
        check_place(target)
        jobs = [Job(sources[0], target)]
    else:
        unique = dict.fromkeys(sources)
        jobs = [Job(source, target / _output_name(source)) for source in unique]
    _check_targets(jobs, overwrite)
    return jobs, list(failures)


def _names_file(output: str) -> bool:
    """Tell whether OUT is meant as a file: it ends as files of a known kind do, or nearly."""
    from eamamba.images import READABLE_SUFFIXES, WRITABLE_SUFFIXES

    target = Path(output)
    if target.is_dir() or output.endswith(("/", os.sep)):
        return False
    suffix = target.suffix.lower()
    # without the tables of the machine, which differ
    known = {*READABLE_SUFFIXES, *_OTHER_IMAGES, *mimetypes.MimeTypes().types_map[True]}
    typo = bool(difflib.get_close_matches(suffix, WRITABLE_SUFFIXES, n=1))
    return target.is_file() or suffix in known or typo


def _check_suffix(target: Path) -> None:
    from eamamba.images import WRITABLE_SUFFIXES

    if target.suffix.lower() not in WRITABLE_SUFFIXES:
        raise CommandError(
            f"{target}: cannot write files ending in {target.suffix!r}; use "
            f"{', '.join(WRITABLE_SUFFIXES)}, or name a folder (with a / at its end)"
        )


def _output_name(source: Path) -> str:
    from eamamba.images import WRITABLE_SUFFIXES

    if source.suffix.lower() in WRITABLE_SUFFIXES:
        return source.name
    return f"{source.stem}.png"  # a format that can be read but not written


def _check_targets(jobs: list[Job], overwrite: bool) -> None:
    # os.path, unlike pathlib, answers no about a path that cannot even be looked up
    sources = {_file_identity(job.source): job.source for job in jobs if os.path.exists(job.source)}
    first: dict[Path, Path] = {}
    for job in jobs:
        other = first.setdefault(job.target, job.source)
        if other != job.source:
            raise CommandError(
                f"{other} and {job.source} would both be written to {job.target}; "
                "restore them into different folders"
            )
        if not overwrite and os.path.exists(job.target) and _file_identity(job.target) in sources:
            raise CommandError(
                f"{job.target}: would replace an input photo; choose another output, "
                "or allow it with --overwrite"
            )


def _file_identity(path: Path) -> tuple[int, int]:
    """Return the same value for two names of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _restore_or_explain(model: Restorer, job: Job, self_ensemble: bool, tile: Tile) -> bool:
    """Restore one photograph and report the outcome in one line."""
    try:
        typer.echo(_restore_one(model, job, self_ensemble, tile))
    except Exception as error:
        if (reason := explained(error)) is None:
            raise
        if str(job.source) not in reason:
            reason = f"{job.source}: {reason}"
        typer.echo(f"error: {reason}", err=True)
    else:
        return True
    return False


def _restore_one(model: Restorer, job: Job, self_ensemble: bool, tile: Tile) -> str:
    from eamamba.images import check_target, read_photo, write_photo
    from eamamba.restore import restore_photo

    start = time.perf_counter()
    photo = read_photo(job.source)
    _check_replacement(job, photo)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    check_target(job.target, photo, upscale=model.upscale)
    with _progress_bar(job.source.name) as progress:
        restored = restore_photo(
            model, photo, self_ensemble=self_ensemble, tile=tile, progress=progress
        )
    write_photo(job.target, restored)
    height, width = restored.rgb.shape[-2:]
    seconds = time.perf_counter() - start
    notes = f" ({', '.join(photo.notes)})" if photo.notes else ""
    return f"{job.source}: {width}×{height} pixels, {seconds:.1f} s, written to {job.target}{notes}"


def _check_replacement(job: Job, photo: Photo) -> None:
    replaces = job.target.exists() and _file_identity(job.target) == _file_identity(job.source)
    if photo.pictures > 1 and replaces:
        raise CommandError(
            f"{job.target}: would replace {photo.pictures} pictures in one file by the first; "
            "choose another output"
        )


@contextmanager
def _progress_bar(name: str) -> Iterator[Progress | None]:
    """Show progress in calls of the network, only on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():  # None where it is closed
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)
