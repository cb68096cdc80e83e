"""Restore photographs one by one, and report the outcome to people or scripts."""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from eamamba.cli.choices import CommandError
from eamamba.cli.explaining import explained
from eamamba.cli.jobs import Job, file_identity
from eamamba.config import ProtocolSettings

if TYPE_CHECKING:
    from torch import Tensor

    from eamamba.images import Photo
    from eamamba.restore import Progress, Restorer, SelfEnsemble, Tile

BarOf = Callable[[str], "Progress | None"]
"""Announces the next photograph, and returns a function that reports the progress within it."""


@dataclass(frozen=True)
class Method:
    """How each photograph is restored, and what is done with the result."""

    model: Restorer
    self_ensemble: SelfEnsemble = 0
    tile: Tile = "auto"
    strength: float = 1.0
    compare: bool = False
    protocol: ProtocolSettings = field(default_factory=ProtocolSettings)
    skip_existing: bool = False


@dataclass
class Outcome:
    """The outcome for one photograph; fields that do not apply are None."""

    source: str
    target: str
    status: Literal["restored", "skipped", "failed"] = "restored"
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    scores: dict[str, float] | None = None
    comparison: str | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None

    def line(self) -> str:
        """Return the outcome as a line of text."""
        if self.status == "skipped":
            return f"{self.source}: skipped, {self.target} exists"
        scores, notes = "", f" ({', '.join(self.notes)})" if self.notes else ""
        if self.scores:
            scores = "PSNR {psnr_input_db:.2f} → {psnr_db:.2f} dB, ".format(**self.scores)
            scores += "SSIM {ssim_input:.3f} → {ssim:.3f}, ".format(**self.scores)
        return (
            f"{self.source}: {self.width}×{self.height} pixels, {self.seconds:.1f} s, {scores}"
            f"written to {self.target}{notes}"
        )

    def as_json(self) -> str:
        """Return the outcome as a line of JSON, without fields that do not apply."""
        facts = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        if self.scores:  # JSON has no infinity, the PSNR of equal images
            finite = {n: v if math.isfinite(v) else None for n, v in self.scores.items()}
            facts["scores"] = finite
        return json.dumps(facts, ensure_ascii=False)


def restore_all(method: Method, jobs: list[Job], *, as_json: bool) -> list[Outcome]:
    """Restore every photograph, report each as soon as it is done, and end with a summary line."""
    # Pillow warns about odd metadata and large sizes; neither affects the pixels.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("always", module=r"eamamba\.")  # for every photo, not only the first
    start, outcomes = time.perf_counter(), []
    with _total_progress(len(jobs)) as bar_of:
        for job in jobs:
            outcome = _restore_or_explain(method, job, bar_of(job.source.name))
            outcomes.append(outcome)
            if outcome.error is not None:
                typer.echo(f"error: {outcome.error}", err=True)
            if as_json:
                typer.echo(outcome.as_json())
            elif outcome.error is None:
                typer.echo(outcome.line())
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("restored", "skipped", "failed")
    }
    seconds = time.perf_counter() - start
    if as_json:
        typer.echo(json.dumps(counts | {"seconds": round(seconds, 3)}))
    elif len(jobs) > 1:
        counted = [f"{number} {status}" for status, number in counts.items() if number]
        typer.echo(f"{', '.join(counted)} of {len(jobs)} photos in {seconds:.1f} s")
    return outcomes


def _restore_or_explain(method: Method, job: Job, progress: Progress | None) -> Outcome:
    outcome = Outcome(str(job.source), str(job.target))
    if method.skip_existing and job.target.exists():
        outcome.status = "skipped"
        return outcome
    try:
        _restore_one(method, job, outcome, progress)
    except Exception as error:
        if (reason := explained(error)) is None:
            raise
        outcome.error = reason if str(job.source) in reason else f"{job.source}: {reason}"
        outcome.status = "failed"
    return outcome


def _restore_one(method: Method, job: Job, outcome: Outcome, progress: Progress | None) -> None:
    from eamamba.images import check_target, read_photo, write_photo
    from eamamba.restore import blend, restore_photo

    start, model = time.perf_counter(), method.model
    photo = read_photo(job.source)
    right = None if job.right is None else read_photo(job.right)
    _check_replacement(job, photo)
    truth = None if job.truth is None else _read_truth(job.truth, photo, model.upscale)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    check_target(job.target, photo, upscale=model.upscale)
    restored = restore_photo(
        model,
        photo,
        right=right,
        self_ensemble=method.self_ensemble,
        tile=method.tile,
        progress=progress,
    )
    restored = blend(photo, restored, method.strength)
    write_photo(job.target, restored)
    outcome.height, outcome.width = restored.rgb.shape[-2:]
    outcome.notes = photo.notes
    if truth is not None or method.compare:
        _compare(method, job, outcome, {"input": photo.rgb, "restored": restored.rgb}, truth)
    outcome.seconds = round(time.perf_counter() - start, 3)


def _read_truth(path: Path, photo: Photo, upscale: int) -> Tensor:
    from eamamba.images import read_image

    truth = read_image(path)
    expected = tuple(side * upscale for side in photo.rgb.shape[-2:])
    if truth.shape[-2:] != expected:
        given = f"{truth.shape[-1]}×{truth.shape[-2]}"
        raise CommandError(
            f"{path}: ground truth of {given} pixels; expected {expected[1]}×{expected[0]}, the "
            "size of the restored photo"
        )
    return truth


def _compare(
    method: Method, job: Job, outcome: Outcome, panels: dict[str, Tensor], truth: Tensor | None
) -> None:
    """Score the photograph before and after against the ground truth, and draw them."""
    from eamamba.cli.comparison import draw_comparison
    from eamamba.evaluation import score_before_and_after, without_network
    from eamamba.images import write_image

    panels["input"] = without_network(panels["input"], method.model.upscale)
    titles = list(panels)
    if truth is not None:
        scores = score_before_and_after(method.protocol, truth, panels["input"], panels["restored"])
        outcome.scores = scores
        titles = [
            "input  {psnr_input_db:.2f} dB  SSIM {ssim_input:.3f}".format(**scores),
            "restored  {psnr_db:.2f} dB  SSIM {ssim:.3f}".format(**scores),
            "ground truth",
        ]
        panels["truth"] = truth
    if method.compare:
        path = job.target.parent / "compare" / f"{job.target.stem}.png"
        path.parent.mkdir(exist_ok=True)
        write_image(path, draw_comparison(dict(zip(titles, panels.values(), strict=True))))
        outcome.comparison = str(path)


def _check_replacement(job: Job, photo: Photo) -> None:
    replaces = job.target.exists() and file_identity(job.target) == file_identity(job.source)
    if photo.pictures > 1 and replaces:
        raise CommandError(
            f"{job.target}: would replace {photo.pictures} pictures in one file with the first; "
            "choose another output"
        )


@contextmanager
def _total_progress(photos: int) -> Iterator[BarOf]:
    """Show the progress over all photographs and the time left, on a terminal only."""
    if sys.stderr is None or not sys.stderr.isatty():  # None where it is closed
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        *(TextColumn("{task.fields[number]}/{task.total:.0f} {task.description}"), BarColumn()),
        *(TimeRemainingColumn(), TextColumn("left")),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("", total=photos, number=0)
        started = 0

        def begin(name: str) -> Progress:
            nonlocal started
            started += 1
            before = started - 1
            bar.update(row, description=name, number=started, completed=before)
            return lambda done, total: bar.update(row, completed=before + done / total)

        yield begin
