"""The inputs and outputs of ``eamamba restore``, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import difflib
import mimetypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eamamba.cli.choices import CommandError
from eamamba.config import EAMambaError

if TYPE_CHECKING:
    from eamamba.datasets.names import NameKey

# Image formats that cannot be written and that Python's mimetypes does not know.
_OTHER_IMAGES = (".dng", ".exr", ".hdr", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".raw", ".tga")


@dataclass(frozen=True)
class Job:
    """One photograph: where to read it, where to write the result, and the files beside it."""

    source: Path
    target: Path
    truth: Path | None = None
    right: Path | None = None  # the other view of a dual-pixel sensor


def plan_jobs(
    photos: list[str], output: str, *, overwrite: bool = False, recursive: bool = False
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
    recursive : bool
        Whether folders include their subfolders, which are recreated below ``output``. Hidden ones
        and ``output`` itself are skipped.

    Raises
    ------
    CommandError
        If outputs would replace inputs or each other, or ``output`` is unsuitable.
    """
    from eamamba.images import check_place

    target = Path(output)
    failures: list[EAMambaError] = []
    sources: dict[Path, Path] = {}  # with the path below the output folder
    for photo in photos:
        if os.path.isdir(photo):
            images = _images_in(Path(photo), target if recursive else None, failures)
            sources |= {image: image.relative_to(photo) for image in images if image not in sources}
        else:
            sources.setdefault(Path(photo), Path(Path(photo).name))
    is_single = len(photos) == 1 and not os.path.isdir(photos[0])
    if _names_file(output):
        if not is_single:
            raise CommandError(f"{target}: several photos need an output folder")
        _check_suffix(target)
        check_place(target)
        jobs = [Job(next(iter(sources)), target)]
    else:
        jobs = [Job(source, target / _output_name(below)) for source, below in sources.items()]
    _check_targets(jobs, overwrite)
    return jobs, failures


def _images_in(folder: Path, output: Path | None, failures: list[EAMambaError]) -> Iterator[Path]:
    """Yield the images of a folder, with those of its subfolders if an output is given."""
    from eamamba.images import ImageError, list_images

    if output is None:
        try:
            yield from list_images(folder)
        except ImageError as error:
            failures.append(error)
        return
    unreadable: list[OSError] = []
    empty = True
    for place, inner, _ in os.walk(folder, onerror=unreadable.append):
        left_out = {name for name in inner if name[0] == "." or _is_same(Path(place, name), output)}
        inner[:] = sorted(set(inner) - left_out)
        try:
            for image in list_images(place):
                empty = False
                yield image
        except ImageError:
            pass  # a folder of folders
    reasons = [f"{error.filename}: cannot be read ({error.strerror})" for error in unreadable]
    if empty and not reasons:
        reasons = [f"{folder}: no images in it or its subfolders"]
    failures += [CommandError(reason) for reason in reasons]


def _is_same(first: Path, second: Path) -> bool:
    return second.exists() and first.exists() and first.samefile(second)


def _names_file(output: str) -> bool:
    """Return whether OUT means a file: its suffix is that of a known format, or nearly so."""
    from eamamba.images import READABLE_SUFFIXES, WRITABLE_SUFFIXES

    target = Path(output)
    if target.is_dir() or output.endswith(("/", os.sep)):
        return False
    suffix = target.suffix.lower()
    # without the machine's own tables, which differ
    known = {*READABLE_SUFFIXES, *_OTHER_IMAGES, *mimetypes.MimeTypes().types_map[True]}
    typo = bool(difflib.get_close_matches(suffix, WRITABLE_SUFFIXES, n=1))
    return target.is_file() or suffix in known or typo


def _check_suffix(target: Path) -> None:
    from eamamba.images import WRITABLE_SUFFIXES

    if target.suffix.lower() not in WRITABLE_SUFFIXES:
        raise CommandError(
            f"{target}: cannot write files ending in {target.suffix!r}; use "
            f"{', '.join(WRITABLE_SUFFIXES)}, or name a folder (ending in /)"
        )


def _output_name(source: Path) -> Path:
    from eamamba.images import WRITABLE_SUFFIXES

    if source.suffix.lower() in WRITABLE_SUFFIXES:
        return source
    return source.with_name(f"{source.stem}.png")  # the format can be read but not written


def _check_targets(jobs: list[Job], overwrite: bool) -> None:
    # os.path, unlike pathlib, returns False for a path that cannot be looked up
    sources = {file_identity(job.source): job.source for job in jobs if os.path.exists(job.source)}
    first: dict[Path, Path] = {}
    for job in jobs:
        other = first.setdefault(job.target, job.source)
        if other != job.source:
            raise CommandError(
                f"{other} and {job.source} would both be written to {job.target}; "
                "restore them into different folders"
            )
        if not overwrite and os.path.exists(job.target) and file_identity(job.target) in sources:
            raise CommandError(
                f"{job.target}: would replace an input photo; choose another output, "
                "or allow it with --overwrite"
            )


def file_identity(path: Path) -> tuple[int, int]:
    """Return a value that is equal for two names of the same file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def with_partners(
    jobs: list[Job], output: Path, *, truth: Path | None = None, right: Path | None = None
) -> list[Job]:
    """Return the jobs with their ground truth and right view, each from a file or from a folder.

    In a folder, they have the name of the photograph, in the same subfolder; suffix, case and
    leading zeros may differ.

    Raises
    ------
    CommandError
        If a photograph lacks one.
    """
    for kind, partner in (("truth", truth), ("right", right)):
        if partner is not None:
            found = _partners(jobs, output, f"--{kind} {partner}", partner)
            jobs = [
                dataclasses.replace(job, **{kind: path})
                for job, path in zip(jobs, found, strict=True)
            ]
    return jobs


def _partners(jobs: list[Job], output: Path, option: str, partner: Path) -> list[Path]:
    if not partner.is_dir():
        if len(jobs) > 1:
            raise CommandError(f"{option}: several photos need a folder")
        if not partner.exists():
            raise CommandError(f"{option}: no such file or folder")
        return [partner]
    failures: list[EAMambaError] = []
    images = {
        _key(image.relative_to(partner)): image
        for image in _images_in(partner, Path(os.devnull), failures)
    }
    if failures:
        raise failures[0]
    found = []
    for job in jobs:
        is_below = output != job.target and output in job.target.parents
        key = _key(job.target.relative_to(output) if is_below else Path(job.source.name))
        if key not in images:
            raise CommandError(f"{job.source}: no image of this name in {option}")
        found.append(images[key])
    return found


def _key(path: Path) -> tuple[NameKey, ...]:
    from eamamba.datasets.names import natural

    return tuple(natural(part) for part in path.with_suffix("").parts)
