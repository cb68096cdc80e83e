"""The basis of all figures: a style, a canvas, and saving that is reproducible byte for byte."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eamamba.files import write_atomically

STYLE = Path(__file__).parent / "style.mplstyle"
INPUT, OURS, MARK = "#444444", "#0072B2", "#D55E00"
FLOP_NOTE = "one multiply-add = 1 FLOP"

Arguments = ParamSpec("Arguments")


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Run a drawing function in the project's style."""

    @wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            figure = draw(*args, **kwargs)
            FigureCanvasAgg(figure)
            return figure

    return drawn


def save(figure: Figure, path: Path) -> str:
    """Write a figure and return the file name, for ``IPython.display.Image``.

    The file contains no date and no version, so the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    path : Path
        Its suffix selects the format: ``.png`` for line art, on a transparent ground, so that dark
        pages can turn it light on dark; ``.jpg`` for photographs, which takes a fifth of the space
        and stays as it is on every page. Its folder is created if missing.
    """
    options: dict[str, Any] = {
        "metadata": {"Software": None},
        "pil_kwargs": {"optimize": True},
        "transparent": True,
    }
    if path.suffix == ".jpg":
        options = {"pil_kwargs": {"quality": 90, "subsampling": 0, "optimize": True}}
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", STYLE]):
        figure.savefig(buffer, format=path.suffix.removeprefix(".") or None, **options)
    write_atomically(path, buffer.getvalue())
    return str(path)
