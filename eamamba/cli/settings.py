"""``eamamba settings``: the resolved settings of one task."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer
import yaml

from eamamba import paths
from eamamba.cli.choices import ProfileOption, SettingsOption, project_settings
from eamamba.config import TaskSettings, resolved
from eamamba.files import write_atomically


def as_file(chosen: TaskSettings) -> str:
    """Return everything that affects a task's results, as YAML.

    That is its settings and, if they name initial weights in a file or in the package, the hash of
    those weights.
    """
    start = chosen.training.initial_weights
    places = () if start is None else (paths.PRETRAINED / f"{start}.safetensors", Path(start))
    file = next((place for place in places if place.is_file()), None)
    digest = None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
    return resolved(chosen) + yaml.safe_dump({"initial_weights_sha256": digest})


def settings(
    task: Annotated[str, typer.Argument(help="Task, or variant of the ablation study.")],
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write instead of printing.")
    ] = None,
) -> None:
    """Show all settings of one task, resolved from params.yaml and defaults.

    Example: `eamamba settings derain --profile paper`
    """
    project = project_settings(profile, settings)
    chosen = project.ablation(task) if task in project.ablations else project.task(task)
    text = as_file(chosen)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())
