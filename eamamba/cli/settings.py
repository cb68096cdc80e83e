"""``eamamba settings``: what all layers of ``params.yaml`` come to for one task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eamamba.cli.choices import ProfileOption, SettingsOption, project_settings
from eamamba.config import resolved
from eamamba.files import write_atomically


def settings(
    task: Annotated[str, typer.Argument(help="Task, or variant of the ablation study.")],
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write instead of showing it.")
    ] = None,
) -> None:
    """Show everything that is set for one task, each setting once: params.yaml and defaults.

    Example: `eamamba settings derain --profile paper`
    """
    project = project_settings(profile, settings)
    chosen = project.ablation(task) if task in project.ablations else project.task(task)
    text = resolved(chosen)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())
