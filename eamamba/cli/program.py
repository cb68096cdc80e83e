"""The program: its commands and its error handling."""

from __future__ import annotations

import functools
import io
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from eamamba import __version__
from eamamba.cli.complexity import complexity
from eamamba.cli.data import data
from eamamba.cli.doctor import doctor
from eamamba.cli.evaluating import evaluate, receptive_field
from eamamba.cli.experiments import train
from eamamba.cli.explaining import explained
from eamamba.cli.exporting import export
from eamamba.cli.launched import is_main_process
from eamamba.cli.models import models
from eamamba.cli.real_pairs import real_pairs
from eamamba.cli.restoring import restore
from eamamba.cli.scoring import score
from eamamba.cli.settings import settings
from eamamba.openmp import share_cores

app = typer.Typer(
    help="EAMamba: an efficient all-around vision state space model for image restoration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _under_old_name(old: str, new: str, command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that prints its new name and then does the same."""

    @functools.wraps(command)  # keeps its parameters, which typer reads
    def renamed(**options: object) -> None:
        typer.echo(f"note: eamamba {old} is now called eamamba {new}", err=True)
        command(**options)

    return renamed


COMMANDS = (
    *(restore, models, score, export, doctor),
    *(train, evaluate, real_pairs, complexity, receptive_field, settings),
)
for command in COMMANDS:
    app.command()(command)
for old, new, command in (
    ("profile", "complexity", complexity),
    ("erf", "receptive-field", receptive_field),
):
    app.command(old, hidden=True)(_under_old_name(old, new, command))
app.add_typer(data, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"eamamba {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; by default, those of the process.

    Returns
    -------
    int
        0; 2 after an error that the user can fix, reported in one line; 130 if interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # file names may not be valid text
    share_cores()
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning
        status = _run(argv)
    if status == 130 and is_main_process():
        typer.echo("interrupted; the files already written are complete", err=True)
    return status


def _run(argv: Sequence[str] | None) -> int:
    try:
        app(args=None if argv is None else list(argv), prog_name="eamamba")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if (reason := explained(error)) is None:
            raise
        if is_main_process() or getattr(error, "local", False):
            typer.echo(f"error: {reason}", err=True)
        return 2
    return 0


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    if is_main_process():
        typer.echo(f"note: {message}", err=True)
