"""``eamamba data check``: find a task's data sets on this machine."""

from __future__ import annotations

import typer

from eamamba.cli.choices import (
    CommandError,
    ProfileOption,
    SettingsOption,
    TaskArgument,
    project_settings,
)

data = typer.Typer(help="Inspect the data sets of a task.", no_args_is_help=True)


@data.callback()
def _group() -> None:
    pass  # with a callback, typer keeps `check` as a subcommand


@data.command()
def check(
    task: TaskArgument,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
) -> None:
    """Report which data sets are here, what is wrong with them, and where to get them.

    Folders ``data/NAME`` are searched in the folder named by the variable EAMAMBA_DATA, or in the
    project's. Every image is opened; intact ones are not opened again until they change. Nothing is
    downloaded.

    Example: `eamamba data check derain --profile paper`
    """
    from eamamba.datasets import check as check_sets

    sets = check_sets(
        project_settings(profile, settings).task(task).data, decode=True, progress=True
    )
    shown = sets.drop(columns=["problems", "notes"]).fillna("-")
    typer.echo(shown.to_string(index=False))
    for row in sets.itertuples():
        for problem in row.problems:
            typer.echo(f"{row.set} ({row.use}): {problem}")
        for note in row.notes:
            typer.echo(f"{row.set} ({row.use}): note: {note}")
    unusable = int(sets["problems"].map(bool).sum())
    if unusable:
        raise CommandError(f"{unusable} of {len(sets)} data sets cannot be used as they are")


@data.command()
def cache(
    task: TaskArgument,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
) -> None:
    """Decode the training set into tiles, in the folder set as `data.cache`.

    Training reads them instead of the images, with identical patches. The required space is printed
    first; after an interruption, run it again to decode the rest. Without this command, each image
    is decoded when training first needs it.

    Example: `eamamba data cache denoise_real --profile paper`
    """
    from eamamba.datasets.cached import fill
    from eamamba.datasets.training import cached_training_set

    images = cached_training_set(project_settings(profile, settings).task(task).data)
    if images is None:
        raise CommandError(
            f"{task}: nothing to cache: set data.cache to a folder, and data.training_set to "
            "images other than the bundled photographs"
        )
    fill(images, typer.echo)
