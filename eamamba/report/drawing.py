"""What all figures share: the style, a canvas, and saving the same bytes every time."""

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
    """Run a drawing function under the project's style."""

    @wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            figure = draw(*args, **kwargs)
            FigureCanvasAgg(figure)
            return figure

    return drawn


def save(figure: Figure, path: Path) -> str:
    """Write a figure and return the file's name, for ``IPython.display.Image``.

    The file carries no date and no version, so the same figure is the same bytes.

    Parameters
    ----------
    figure : Figure
    path : Path
        Its ending chooses the format: ``.png`` for lines, ``.jpg`` for photographs, which is a
        fifth of the size. Its folder is created.
    """
    options: dict[str, Any] = {"metadata": {"Software": None}, "pil_kwargs": {"optimize": True}}
    if path.suffix == ".jpg":
        options = {"pil_kwargs": {"quality": 90, "subsampling": 0, "optimize": True}}
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", STYLE]):
        figure.savefig(buffer, format=path.suffix.removeprefix(".") or None, **options)
    write_atomically(path, buffer.getvalue())
    return str(path)
