"""``eamamba models``: the weights that can be used by name, and the card of each."""

from __future__ import annotations

from typing import Annotated

import typer

from eamamba.cards import Card, card_markdown, card_of, gains
from eamamba.cli.choices import CommandError, complete_weights


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Weights whose card to show. Default: a list of all.",
            autocompletion=complete_weights,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: a list of cards, or one card.")
    ] = False,
) -> None:
    """List the weights that --task and load_model accept by name, or show the card of one.

    They are in the package, in the folder named by the variable EAMAMBA_WEIGHTS, and in the
    folder weights of the user's cache.

    Example: `eamamba models derain`
    """
    from pydantic import TypeAdapter

    from eamamba.checkpoint import find_weights, named_weights

    if name is not None:
        card = card_of(find_weights(name))
        typer.echo(card.model_dump_json(indent=2) if as_json else card_markdown(card, level=1))
        return
    cards = [card_of(path) for path in named_weights().values()]
    if as_json:
        typer.echo(TypeAdapter(list[Card]).dump_json(cards, indent=2).decode())
    elif not cards:
        raise CommandError("no weights by name; train some, or set EAMAMBA_WEIGHTS to their folder")
    else:
        _show(cards)


def _show(cards: list[Card]) -> None:
    rows: list[tuple[str, ...]] = [
        ("weights", "for", "parameters", "file", "gain, dB", "on published sets, dB")
    ]
    for card in cards:
        size = (f"{card.parameters / 1e6:.2f} M", f"{card.bytes / 1e6:.1f} MB")
        gained = gains(card, "degraded photographs"), gains(card, "published sets")
        rows.append((card.name, card.title or card.task or "", *size, *gained))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    typer.echo("gain: mean PSNR in dB on the first test, by noise level where there are several")
    typer.echo("eamamba models NAME shows data, scores, limits and checksum")
