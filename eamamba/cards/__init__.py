"""Model cards: the origin of weights, their scores, the harm they may do and their limits.

`cards.json` holds those of the weights in the package. ``pipeline/model_cards.py`` writes it from
the weights, their scores and `notes.yaml`. Reading it does not need torch.
"""

from __future__ import annotations

from eamamba.cards.card import Card, DataSet, Harm, Score, card_of, facts_of, shipped_cards
from eamamba.cards.markdown import card_markdown, cards_table, gains

__all__ = [
    "Card",
    "DataSet",
    "Harm",
    "Score",
    "card_markdown",
    "card_of",
    "cards_table",
    "facts_of",
    "gains",
    "shipped_cards",
]
