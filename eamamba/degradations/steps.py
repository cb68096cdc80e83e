"""Intermediate pictures of a degradation, for those who want to see how it comes about."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def note(steps: dict[str, Tensor] | None, title: str, picture: Callable[[], Tensor]) -> None:
    """Keep a picture under its title, made and clipped to [0, 1] only if steps are asked for.

    Parameters
    ----------
    steps : dict or None
        Where to keep it; None keeps and computes nothing.
    title : str
    picture : function
        Gives display values, (3 or 1, h, w); it draws no random numbers.
    """
    if steps is not None:
        steps[title] = picture().clamp(0, 1)
