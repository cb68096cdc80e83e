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
from eamamba.cli.data import data
from eamamba.cli.experiments import complexity, evaluate, receptive_field, train
from eamamba.cli.exporting import export
from eamamba.cli.real_pairs import real_pairs
from eamamba.cli.restoring import restore
from eamamba.cli.settings import settings
from eamamba.config import EAMambaError

app = typer.Typer(
    help="EAMamba: an efficient all-around vision state space model for image restoration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _under_old_name(old: str, new: str, command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that says what it is called now, and then does the same."""

    @functools.wraps(command)  # with its parameters, which typer reads
    def renamed(**options: object) -> None:
        typer.echo(f"note: eamamba {old} is now called eamamba {new}", err=True)
        command(**options)

    return renamed


for command in (
    restore,
    train,
    evaluate,
    real_pairs,
    complexity,
    receptive_field,
    settings,
    export,
):
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
            stream.reconfigure(errors="replace")  # file names need not be valid text
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning
        status = _run(argv)
    if status == 130:
        typer.echo("interrupted; the files already written are complete", err=True)
    return status


def _run(argv: Sequence[str] | None) -> int:
    try:
        app(args=None if argv is None else list(argv), prog_name="eamamba")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 130
    except EAMambaError as error:
        return _print_error(str(error))
    except OSError as error:
        return _print_error(f"{error.filename or 'system'}: {error.strerror or error}")
    return 0


def _print_error(reason: str) -> int:
    typer.echo(f"error: {' '.join(reason.split())}", err=True)
    return 2


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"note: {message}", err=True)
