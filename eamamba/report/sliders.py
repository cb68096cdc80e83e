"""Pictures with a slider: plain HTML that needs no network, kernel or widget library.

Matplotlib's own interactive HTML fetches its buttons from the network, and ipywidgets show nothing
without a kernel; these pages keep working, and are still useful with scripts disabled.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from string import Template

import numpy as np

from eamamba.report.drawing import MARK, OURS
from eamamba.report.photographs import Picture, to_image

# Scripts are inside attributes, so that no element needs an id and a page can have several sliders.
_CURTAIN = Template("""\
<div style="max-width: 480px">
<div style="position: relative">
<img src="$after" alt="$right" style="display: block; width: 100%">
<img src="$before" alt="$left" style="position: absolute; top: 0; left: 0; width: 100%; \
max-width: none; clip-path: inset(0 50% 0 0)">
</div>
<input type="range" min="0" max="100" value="50" step="any" style="width: 100%; margin: 6px 0" \
aria-label="from $right to $left" oninput="
this.previousElementSibling.lastElementChild.style.clipPath =
  `inset(0 $${100 - this.value}% 0 0)`">
<div style="display: flex; justify-content: space-between">\
<span>$left</span><span>$right</span></div>
</div>""")

_SCANS = Template("""\
<div style="max-width: 640px">
<div style="display: flex; flex-wrap: wrap; gap: 12px">
$panels
</div>
<input type="range" min="1" max="$length" value="$shown" style="width: 100%; margin: 6px 0" \
aria-label="pixels visited" oninput="
for (const svg of this.parentElement.querySelectorAll('svg')) {
  const path = svg.dataset.path.split(' ').slice(0, this.value);
  svg.querySelector('.visited').setAttribute('points', path.join(' '));
  svg.querySelector('circle').setAttribute('transform', `translate($${path.at(-1)})`);
}
this.nextElementSibling.value = `$${this.value} of $length pixels visited`">
<output>$shown of $length pixels visited</output>
</div>""")

_PANEL = Template("""\
<div style="flex: 0 0 22%; text-align: center">$title
<svg viewBox="-0.7 -0.7 $wide $high" data-path="$path" fill="none" stroke-linejoin="round">
<polyline points="$path" stroke="#999999" stroke-opacity="0.4" stroke-width="0.08"/>
<polyline class="visited" points="$visited" stroke="$colour" stroke-width="0.2"/>
<circle r="0.35" fill="$mark" transform="translate($now)"/>
</svg></div>""")


def before_after(before: Picture, after: Picture, labels: tuple[str, str]) -> str:
    """Return two pictures in one frame, with a slider that draws the first over the second.

    Parameters
    ----------
    before, after : (3, H, W) in [0, 1]
        Of the same size.
    labels : (str, str)
        Their captions.

    Returns
    -------
    str
        HTML, for ``IPython.display.HTML``.

    Raises
    ------
    ValueError
        If their sizes differ.
    """
    if before.shape != after.shape:
        raise ValueError(
            f"before {tuple(before.shape)}, after {tuple(after.shape)}: expected the same "
            "size; enlarge the smaller one"
        )
    left, right = (html.escape(label) for label in labels)
    return _CURTAIN.substitute(
        before=_data_url(before), after=_data_url(after), left=left, right=right
    )


def scan_slider(orders: Mapping[str, np.ndarray], height: int, width: int) -> str:
    """Return scan orders as paths over the pixels, all drawn up to the position of one slider.

    Parameters
    ----------
    orders : mapping
        Title and order (L,): raster positions in visiting order.
    height, width : int
        Size of the image in pixels, L = height * width.

    Returns
    -------
    str
        HTML, for ``IPython.display.HTML``; without scripts it shows half of each path.
    """
    length = height * width
    shown = (length + 1) // 2
    panels = []
    for title, order in orders.items():
        rows, columns = np.divmod(np.asarray(order), width)
        points = [f"{column},{row}" for row, column in zip(rows, columns, strict=True)]
        panels.append(
            _PANEL.substitute(
                title=html.escape(title),
                wide=round(width + 0.4, 1),
                high=round(height + 0.4, 1),
                path=" ".join(points),
                visited=" ".join(points[:shown]),
                now=points[shown - 1],
                colour=OURS,
                mark=MARK,
            )
        )
    return _SCANS.substitute(panels="\n".join(panels), length=length, shown=shown)


def _data_url(picture: Picture) -> str:
    """Return a picture as a URL that contains it."""
    buffer = io.BytesIO()
    to_image(picture).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
