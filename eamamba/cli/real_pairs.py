"""``eamamba real-pairs``: weights against the published test sets in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eamamba import paths
from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    ProfileOption,
    SettingsOption,
    choose_device,
    project_settings,
)
from eamamba.config.errors import did_you_mean

PACKAGE_PROFILE = "pretrained"


def real_pairs(
    folder: Annotated[
        Path | None,
        typer.Argument(envvar="EAMAMBA_BENCHMARKS", help="Folder with CBSD68, Rain100H, Set5 …"),
    ] = None,
    profile: ProfileOption = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Repeat for several. Default: all.")
    ] = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder. Default: results/PROFILE/real_pairs."),
    ] = None,
) -> None:
    """Score weights on the published sets and real pairs in a folder.

    With --profile, uses the weights trained by the pipeline, otherwise those in the package.

    Example: `eamamba real-pairs data/benchmarks --task derain`
    """
    from eamamba import report
    from eamamba.checkpoint import find_weights
    from eamamba.evaluation import real_pairs as pairs

    source = _existing(folder)
    for name in task or ():
        if name not in pairs.SETS:
            raise CommandError(f"--task: no sets for {name!r}{did_you_mean(name, pairs.SETS)}")
    chosen = project_settings(profile or PACKAGE_PROFILE, settings)
    place = f"{profile}/" if profile else ""
    per_image = pairs.score_real_pairs(
        source,
        chosen,
        lambda name: find_weights(f"{place}{name}"),
        tasks=task,
        device=str(choose_device(device)),
        say=lambda line: typer.echo(f"note: {line}", err=True),
    )
    target = output or paths.results(chosen.profile, "real_pairs")
    summary = pairs.write(per_image, target)
    titles = {name: one.title for name, one in chosen.tasks.items()}
    typer.echo(report.markdown(report.real_pairs_table(summary, titles)), nl=False)
    typer.echo(f"written to {target / pairs.SUMMARY} and {pairs.PER_IMAGE}")


def _existing(folder: Path | None) -> Path:
    if folder is None:
        raise CommandError("no folder: name one, or set EAMAMBA_BENCHMARKS to it")
    if not folder.is_dir():
        raise CommandError(f"{folder}: no such folder; expected one with CBSD68, Rain100H, Set5 …")
    return folder
