"""Turn results into tables and figures, without torch.

`scores` and `tables` turn measurements into tables for readers; `photographs` and `charts` draw
figures in one style (``style.mplstyle``); `scans` does both for scan orders and receptive fields.
"""

from __future__ import annotations

from eamamba.report.charts import (
    complexity_by_kind,
    complexity_by_size,
    gain_per_image,
    gains,
    psnr_by_condition,
    training_curve,
)
from eamamba.report.drawing import save
from eamamba.report.photographs import (
    comparison,
    contact_sheet,
    degradation,
    receptive_field,
    save_pictures,
    scan_paths,
    summary,
)
from eamamba.report.scans import (
    area_table,
    neighbour_maps,
    neighbour_table,
    receptive_fields,
)
from eamamba.report.scores import (
    glance,
    glance_table,
    longer_training_table,
    middle,
    paper_table,
    pick,
    protocol_label,
    score_table,
    scores,
)
from eamamba.report.sliders import before_after, scan_slider
from eamamba.report.tables import (
    HEADLINE,
    complexity_table,
    headline_table,
    markdown,
    photograph_table,
    protocol_table,
    real_pairs_table,
)

__all__ = [
    "HEADLINE",
    "area_table",
    "before_after",
    "comparison",
    "complexity_by_kind",
    "complexity_by_size",
    "complexity_table",
    "contact_sheet",
    "degradation",
    "gain_per_image",
    "gains",
    "glance",
    "glance_table",
    "headline_table",
    "longer_training_table",
    "markdown",
    "middle",
    "neighbour_maps",
    "neighbour_table",
    "paper_table",
    "photograph_table",
    "pick",
    "protocol_label",
    "protocol_table",
    "psnr_by_condition",
    "real_pairs_table",
    "receptive_field",
    "receptive_fields",
    "save",
    "save_pictures",
    "scan_paths",
    "scan_slider",
    "score_table",
    "scores",
    "summary",
    "training_curve",
]
