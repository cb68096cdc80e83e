"""Results to tables and figures: reads files, draws, and needs no torch.

`tables` turns CSV files into what a reader compares, `photographs` and `charts` draw
with one style (``style.mplstyle``), `pages` writes what the book includes.
"""

from __future__ import annotations

from eamamba.report.charts import (
    complexity_by_kind,
    complexity_by_size,
    gain_per_image,
    psnr_by_noise,
    training_curve,
)
from eamamba.report.drawing import save
from eamamba.report.photographs import (
    comparison,
    contact_sheet,
    degradation,
    receptive_field,
    scan_paths,
    summary,
)
from eamamba.report.tables import (
    HEADLINE,
    complexity_table,
    headline_table,
    markdown,
    mean_scores,
    noise_table,
    photograph_table,
    pick,
    settings_table,
)

__all__ = [
    "HEADLINE",
    "comparison",
    "complexity_by_kind",
    "complexity_by_size",
    "complexity_table",
    "contact_sheet",
    "degradation",
    "gain_per_image",
    "headline_table",
    "markdown",
    "mean_scores",
    "noise_table",
    "photograph_table",
    "pick",
    "psnr_by_noise",
    "receptive_field",
    "save",
    "scan_paths",
    "settings_table",
    "summary",
    "training_curve",
]
