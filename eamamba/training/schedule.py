"""What changes from step to step: the learning rate and the decay of the average."""

from __future__ import annotations

import math

from eamamba.config import TrainingSettings


def learning_rate(completed: int, settings: TrainingSettings) -> float:
    """Return the learning rate after ``completed`` steps: a plateau, then a cosine.

    lr = min + ½ (max - min)(1 + cos(π (t - t₀) / (T - t₀))) for t > t₀ (paper section 4.1);
    additionally halved at each of ``settings.halved_at`` (light super-resolution).
    """
    past = completed - settings.constant_iterations
    decay_steps = settings.iterations - settings.constant_iterations
    low, high = settings.minimum_learning_rate, settings.learning_rate
    halvings = sum(completed >= iteration for iteration in settings.halved_at)
    if past <= 0 or decay_steps <= 0:
        return high * 0.5**halvings
    cosine = 0.5 * (1 + math.cos(math.pi * past / decay_steps))
    return (low + (high - low) * cosine) * 0.5**halvings


def ema_decay(completed: int, settings: TrainingSettings) -> float:
    """Return the decay of the EMA in the step after ``completed`` ones.

    With ``settings.ema_warmup`` it grows with the steps, min(decay, (1 + t) / (10 + t)), so that
    the average of a short training run contains nothing of the initial weights.
    """
    if not settings.ema_warmup:
        return settings.ema_decay
    return min(settings.ema_decay, (1 + completed) / (10 + completed))
