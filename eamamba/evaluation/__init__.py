"""Test a network by the protocols of the paper's tables (paper section 4).

`Cases` are the test images as the network sees them, `score` scores its output by the
``evaluation.protocol`` of the settings, and `evaluate` does both for a whole test. Scores are
averaged over images, never over pixels of different images. `receptive_field` measures which
input pixels an output pixel depends on, and `real_pairs` scores weights on a folder of published
sets.
"""

from __future__ import annotations

from eamamba.evaluation.cases import (
    PAPER_MULTIPLE,
    Case,
    Cases,
    add_protocol_noise,
    without_network,
)
from eamamba.evaluation.exports import Export
from eamamba.evaluation.protocols import score
from eamamba.evaluation.run import (
    Example,
    evaluate,
    examples,
    score_before_and_after,
    score_share,
)
from eamamba.evaluation.sizes import evaluate_sizes
from eamamba.evaluation.table import EvaluationError

__all__ = [
    "PAPER_MULTIPLE",
    "Case",
    "Cases",
    "EvaluationError",
    "Example",
    "Export",
    "add_protocol_noise",
    "evaluate",
    "evaluate_sizes",
    "examples",
    "score",
    "score_before_and_after",
    "score_share",
    "without_network",
]
