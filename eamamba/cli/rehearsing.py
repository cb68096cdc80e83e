"""``eamamba train --rehearse``: the measured cost of a training run on this machine."""

from __future__ import annotations

import typer

from eamamba.config import TaskSettings


def show_rehearsal(settings: TaskSettings, device: str) -> None:
    """Rehearse a training run, and print its cost and where it was reduced."""
    from eamamba.training import missing
    from eamamba.training.rehearsal import rehearse

    tried = rehearse(settings, device)
    typer.echo(tried.stages.to_string(float_format="{:.3g}".format))
    if tried.made_up:
        typer.echo("training set: not found; replaced by synthetic pictures in its layout and size")
    for stage, row in tried.stages.iterrows():
        if not row["micro_batch"]:
            typer.echo(f"stage {stage}: not a single image fits in memory")
        elif row["micro_batch"] < row["batch"] or row["recomputed"]:
            share = f", {row['recomputed']:.0%} of the blocks recomputed"
            passes = f"{row['micro_batch']:.0f} of {row['batch']:.0f} images at a time"
            typer.echo(
                f"stage {stage}: {passes}{share if row['recomputed'] else ''}, to fit memory"
            )
    if (tried.stages["timed"] < tried.stages["batch"]).any():
        typer.echo("seconds and days are extrapolated from the steps run: of the images in 'timed'")
    typer.echo(f"a saved state takes {tried.state_mib:,.0f} MiB on disk")
    days, iterations = tried.days, settings.training.iterations
    shown = f"{days:,.3g} days" if days >= 1 else f"{24 * days:.2g} hours"
    typer.echo(f"about {shown} on {device} for {iterations:,} iterations")
    for line in missing(settings):
        typer.echo(f"missing: {line}")
