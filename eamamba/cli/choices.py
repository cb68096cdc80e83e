"""Options shared by several commands: settings, weights, device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eamamba import paths
from eamamba.config import EAMambaError, ProtocolSettings, Settings, SettingsError, load_settings
from eamamba.config.errors import did_you_mean

if TYPE_CHECKING:
    import torch

TaskArgument = Annotated[str, typer.Argument(help="Task in params.yaml, such as denoise_gaussian.")]
OutputFolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for results. Default: results/PROFILE/TASK."),
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", "-p", help="Profile in params.yaml. Default: the one it selects."),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="Settings file. Default: the project's params.yaml."),
]
WeightsOption = Annotated[
    str | None,
    typer.Option("--weights", "-w", help="Weights file: .safetensors or a released .pth."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1 … or auto: a GPU if available.")
]


def complete_weights(incomplete: str) -> list[str]:
    """Return the names of weights with this prefix, for completion by the shell."""
    files = (file for folder in paths.weights_folders() for file in folder.glob("*.safetensors"))
    return sorted({file.stem for file in files if file.stem.startswith(incomplete)})


class CommandError(EAMambaError):
    """The command line asks for something impossible."""


def project_settings(profile: str | None, path: Path | None = None) -> Settings:
    """Return one profile from the project's settings, or from another file."""
    return load_settings(path or paths.project_root() / "params.yaml", profile)


def protocol_of(task: str) -> ProtocolSettings:
    """Return the protocol of a task, from the settings of the project or else of the package."""
    return load_settings(paths.settings_file()).task(task).evaluation.protocol


def choose_device(name: str) -> torch.device:
    """Return the device with this name, after checking that it exists.

    Raises
    ------
    CommandError
        If this machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdigit()):
        raise CommandError(f"--device: no device {name!r}; expected cpu, cuda, cuda:1 or auto")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise CommandError(f"--device {name}: {count} CUDA devices here; use --device cpu or auto")
    return torch.device(name)


def warn_of_other_task(weights: Path, task: str) -> None:
    """Warn, in one line, if weights were trained for a task other than the current one."""
    from eamamba.checkpoint import read_header

    if weights.suffix.lower() != ".safetensors":
        return  # a released file does not record its task
    trained_for = read_header(weights)["task"]
    if trained_for not in (None, task):
        typer.echo(
            f"note: {weights}: weights of the task {trained_for!r}, used for {task!r}", err=True
        )


def choose_weights(task: str | None, weights: str | None, profile: str | None) -> Path:
    """Return the weights file selected by the options.

    ``--weights`` names the file. Otherwise ``--task`` selects the weights of that name in the
    package or another of `paths.weights_folders`, or, if a profile is given or there are none of
    that name, those trained by the pipeline.

    Raises
    ------
    EAMambaError
        If neither is given, the task does not exist, or it has no weights yet.
    """
    from eamamba.checkpoint import find_weights, named_weights

    if weights is not None:
        file = find_weights(weights)
        if task is not None:
            warn_of_other_task(file, task)
        return file
    if task is None:
        raise CommandError("nothing to restore with: name --task NAME or --weights FILE")
    shipped = named_weights().keys()
    if profile is None and task in shipped:
        return find_weights(task)
    try:
        settings = project_settings(profile)
    except SettingsError:
        if profile is None and not (paths.project_root() / "params.yaml").is_file():
            return find_weights(task)  # outside the project: its error names the package's tasks
        raise
    known = settings.tasks.keys() | (shipped if profile is None else set())
    if task not in known:
        raise CommandError(
            f"no task {task!r} in profile {settings.profile!r}{did_you_mean(task, known)}"
        )
    return find_weights(f"{settings.profile}/{task}")
