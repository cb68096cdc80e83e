"""One card per weights file, from its header and from the package."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open

from eamamba.config import EAMambaError, Strict

CARDS = Path(__file__).parent / "cards.json"
FORMAT = "eamamba-1"
"""Key of the JSON in the header of a weights file written by `eamamba.checkpoint.save_model`."""


Kind = Literal["degraded photographs", "published sets"]
"""What a score is measured on: photographs degraded here, or published sets."""


class CardError(EAMambaError, ValueError):
    """A weights file without a record of its origin."""


class DataSet(Strict):
    """A data set that a network was trained on."""

    name: str
    about: str
    licence: str
    source: str


class Score(Strict):
    """Mean scores on one set under one condition, before and after.

    ``kind`` distinguishes photographs degraded here from published sets. ``gain_low_db`` to
    ``gain_high_db`` is the 95 % interval of the mean gain and ``worse`` the number of images that
    lost PSNR, if computed.
    """

    kind: Kind
    test: str
    condition: str
    images: int
    psnr_input_db: float
    psnr_db: float
    ssim_input: float
    ssim: float
    gain_low_db: float | None = None
    gain_high_db: float | None = None
    worse: int | None = None


class Harm(Strict):
    """What a network does to an input without its degradation.

    Colours are in 8-bit units. ``colour_shift_255`` is the change in the mean of a channel,
    ``structure_255`` the largest step between neighbours that the input did not have (a mosaic or
    a seam), ``psnr_db`` compares output and input, ``gain_db`` is the gain over slight noise.
    ``exceeds`` names the limits that are exceeded.
    """

    image: str
    colour_shift_255: float | None = None
    structure_255: float | None = None
    psnr_db: float | None = None
    gain_db: float | None = None
    exceeds: tuple[str, ...] = ()


class Card(Strict):
    """All that is known about a weights file; what is not recorded is None or empty."""

    name: str
    task: str | None
    title: str = ""
    removes: str = ""
    architecture: str
    parameters: int
    bytes: int
    sha256: str
    settings: str | None = None
    started_from: str | None = None
    learnt_from: tuple[str, ...] = ()
    iterations: int | None = None
    seconds: float | None = None
    device: str | None = None
    curve: str | None = None
    protocol: str | None = None
    data: tuple[DataSet, ...] = ()
    scores: tuple[Score, ...] = ()
    harm: tuple[Harm, ...] = ()
    limits: tuple[str, ...] = ()


def facts_of(path: Path) -> Card:
    """Return what a weights file records about itself.

    Raises
    ------
    CardError
        If it is not one of ours.
    """
    try:
        with safe_open(str(path), "numpy") as file:
            text = (file.metadata() or {}).get(FORMAT)
            sizes = [math.prod(file.get_slice(name).get_shape()) for name in file.keys()]
        header: dict[str, Any] = json.loads(text) if text else {}
        architecture, extra = header["settings"]["architecture"], header["extra"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        raise CardError(f"{path}: not a weights file written by eamamba") from None
    recorded = {key: extra.get(key) for key in ("iterations", "seconds", "device")}
    recorded["started_from"] = extra.get("recipe", {}).get("initial_weights")
    recorded["learnt_from"] = tuple(extra.get("data", {}).get("training_set", ()))
    return Card(
        name=path.stem,
        task=header.get("task"),
        architecture=architecture,
        parameters=sum(sizes),
        bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        **recorded,
    )


def card_of(path: Path) -> Card:
    """Return the full card of weights that the package describes, or what the file records."""
    facts = facts_of(path)
    known = shipped_cards().get(facts.name)
    return known if known is not None and known.sha256 == facts.sha256 else facts


@cache
def shipped_cards() -> dict[str, Card]:
    """Return the cards in the package by name."""
    cards = TypeAdapter(tuple[Card, ...]).validate_json(CARDS.read_bytes())
    return {card.name: card for card in cards}
