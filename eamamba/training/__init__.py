"""Training with the paper's recipe at any scale (paper section 4.1).

L1 loss, AdamW, gradient norm clipped, a constant then cosine learning rate,
progressive patch sizes and an exponential moving average (EMA) of the weights,
which is what gets saved.
"""

from __future__ import annotations

from eamamba.training.errors import TrainingError, TrainingInterrupted
from eamamba.training.plan import measured_hours, missing, plan
from eamamba.training.run import train
from eamamba.training.schedule import learning_rate
from eamamba.training.states import STATE_FILE
from eamamba.training.trainer import Trainer

__all__ = [
    "STATE_FILE",
    "Trainer",
    "TrainingError",
    "TrainingInterrupted",
    "learning_rate",
    "measured_hours",
    "missing",
    "plan",
    "train",
]
