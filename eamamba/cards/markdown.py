"""Cards as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eamamba.cards.card import Card, Harm, Kind, Score


def cards_table(cards: Iterable[Card]) -> str:
    """Return one row per card: what it removes, its size, its gains."""
    rows = [
        (
            f"`{card.name}`",
            card.removes or card.task or "",
            f"{card.parameters / 1e6:.2f}",
            f"{card.bytes / 1e6:.1f}",
            gains(card, "degraded photographs"),
            gains(card, "published sets"),
        )
        for card in cards
    ]
    head = ("weights", "what they remove", "parameters in M", "file in MB")
    gained = ("gain on degraded photographs in dB", "gain on published sets in dB")
    return _table((*head, *gained), rows)


def gains(card: Card, kind: Kind) -> str:
    """Return the gains in dB on the first test of a kind, in all its conditions."""
    scores = [score for score in card.scores if score.kind == kind]
    first = [score for score in scores if score.test == scores[0].test]
    if not first:
        return "–"
    return " / ".join(_signed(s.psnr_db - s.psnr_input_db) for s in first)


def card_markdown(card: Card, level: int = 2) -> str:
    """Return a card as Markdown, under a heading of the given level."""
    sub = "#" * (level + 1)
    parts = [f"{'#' * level} {card.name}", card.removes, _facts(card)]
    if card.data:
        named = [
            f"- {d.name}: {d.about} Licence: {d.licence}. Source: {d.source}" for d in card.data
        ]
        parts += [f"{sub} Training data", "\n".join(named)]
    if card.scores:
        parts += [f"{sub} Scores", f"{card.protocol}, mean over the images.", _scores(card.scores)]
    if card.harm:
        parts += [f"{sub} Input without the degradation", HARM_NOTE, _harm(card.harm)]
    if card.limits:
        parts += [f"{sub} Limits", "\n".join(f"- {limit}" for limit in card.limits)]
    return "\n\n".join(part for part in parts if part) + "\n"


HARM_NOTE = (
    "Colours in 8-bit units. *Colour shift*: change in the mean of a channel. *Structure*: the "
    "largest step between neighbouring pixels that the input does not have. *PSNR*: output against "
    "input. *Gain*: PSNR gained over barely visible noise with σ = 5. Limits: colour shift 1, "
    "structure 2, gain −0.1."
)


def _facts(card: Card) -> str:
    time = None if card.seconds is None else f"{card.seconds / 60:.1f} minutes"
    facts = {
        "task": card.task,
        "network": f"{card.architecture}, {card.parameters:,} parameters",
        "settings": card.settings,
        "started from": card.started_from,
        "training": ", ".join(
            part
            for part in (card.iterations and f"{card.iterations:,} iterations", time, card.device)
            if part
        ),
        "curve": card.curve,
        "file": f"{card.bytes:,} bytes, SHA-256 `{card.sha256}`",
    }
    return _table(("", ""), [(name, value) for name, value in facts.items() if value])


def _scores(scores: Sequence[Score]) -> str:
    rows = [
        (
            s.test,
            s.kind,
            s.condition,
            str(s.images),
            f"{s.psnr_input_db:.2f} → {s.psnr_db:.2f}",
            _gain(s),
            f"{s.ssim_input:.3f} → {s.ssim:.3f}",
            "–" if s.worse is None else str(s.worse),
        )
        for s in scores
    ]
    head = ("test", "kind", "condition", "images", "PSNR in dB", "gain in dB", "SSIM")
    return _table((*head, "images made worse"), rows)


def _gain(score: Score) -> str:
    """Return the mean gain, with its interval where there is one."""
    gain = _signed(score.psnr_db - score.psnr_input_db)
    if score.gain_low_db is None or score.gain_high_db is None:
        return gain
    return f"{gain} ({_signed(score.gain_low_db)} to {_signed(score.gain_high_db)})"


def _harm(harm: Sequence[Harm]) -> str:
    rows = [
        (
            h.image,
            *(
                "–" if value is None else f"{value:.2f}"
                for value in (h.colour_shift_255, h.structure_255, h.psnr_db, h.gain_db)
            ),
            "; ".join(h.exceeds) or "–",
        )
        for h in harm
    ]
    head = ("input", "colour shift", "structure", "PSNR in dB", "gain in dB", "beyond the limits")
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _signed(value_db: float) -> str:
    return f"{value_db:+.2f}".replace("-", "−")
