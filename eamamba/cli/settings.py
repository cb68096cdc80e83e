"""``eamamba settings``: what all layers of ``params.yaml`` come to for one task."""

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
    """Return everything that decides a task's results, as YAML.

    That is its settings, and the hash of the weights that its training starts from, if the
    settings name a file or weights in the package.
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
        Path | None, typer.Option("--output", "-o", help="File to write instead of showing it.")
    ] = None,
) -> None:
    """Show everything that is set for one task, each setting once: params.yaml and defaults.

    Example: `eamamba settings derain --profile paper`
    """
    project = project_settings(profile, settings)
    chosen = project.ablation(task) if task in project.ablations else project.task(task)
    text = as_file(chosen)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text.encode())
