"""``eamamba complexity``: the size and the cost of a network."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from eamamba.cli.choices import (
    CommandError,
    DeviceOption,
    ProfileOption,
    SettingsOption,
    choose_device,
    project_settings,
)
from eamamba.config import EAMambaSettings, ModelSettings

if TYPE_CHECKING:
    from eamamba.profiling import Layer

# Far more than fits into any memory.
_DOUBLINGS = 24


SummaryOption = Annotated[
    bool, typer.Option("--summary", help="List the layers: output, parameters, FLOPs.")
]
GrowthOption = Annotated[
    bool,
    typer.Option(
        "--growth", help="Double the size until memory is full; measure FLOPs, memory and time."
    ),
]


def complexity(
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="Default: the paper's model.")
    ] = None,
    profile: ProfileOption = None,
    settings: SettingsOption = None,
    size: Annotated[int, typer.Option(min=1, help="Height and width in pixels.")] = 256,
    summary: SummaryOption = False,
    growth: GrowthOption = False,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count the parameters and FLOPs of a network (one multiply-add = 1 FLOP).

    --growth runs real forward passes of one image on --device, starting at --size.

    Example: `eamamba complexity --task derain --size 512`
    """
    from eamamba import profiling
    from eamamba.network import EAMamba

    if task is None and (profile or settings):
        raise CommandError("--profile and --settings need a --task")
    if summary + growth + as_json > 1:
        raise CommandError("--summary, --growth and --json exclude each other; choose one")
    model = project_settings(profile, settings).task(task).model if task else EAMambaSettings()
    if isinstance(model, EAMambaSettings) and size % EAMamba.size_multiple:
        raise CommandError(f"--size {size}: expected a multiple of {EAMamba.size_multiple}")
    if growth:
        _show_growth(model, size, str(choose_device(device)))
        return
    cost = profiling.complexity(model, size)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(cost), indent=2))
        return
    if summary:
        _show_layers(profiling.layers(model, size))
    typer.echo(f"{cost.parameters:,} parameters")
    typer.echo(f"{cost.gflops:.2f} GFLOPs at {size}×{size} pixels (one multiply-add = 1 FLOP)")
    for kind, gflops in cost.gflops_by_kind.items():
        typer.echo(f"  {gflops:8.2f}  {kind}")


def _show_layers(found: list[Layer]) -> None:
    rows = [("layer", "kind", "output", "parameters", "GFLOPs")]
    for layer in found:
        output = "×".join(map(str, layer.output[1:]))
        counts = f"{layer.parameters:,}", f"{layer.gflops:.3f}"
        rows.append((layer.name, layer.kind, output, *counts))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = zip(row, widths, "<<<>>", strict=True)
        typer.echo("  ".join(f"{text:{side}{width}}" for text, width, side in cells))


def _show_growth(model: ModelSettings, size: int, device: str) -> None:
    from eamamba import profiling

    sizes = [size * 2**doublings for doublings in range(_DOUBLINGS)]
    typer.echo(f"forward passes of one image on {device}, float32; one multiply-add = 1 FLOP")
    typer.echo("      size     GFLOPs  peak MiB   seconds")
    reached = 0
    for cost in profiling.measure_memory(model, sizes, device=device):
        reached = cost.size
        gflops, square = profiling.complexity(model, reached).gflops, f"{reached}×{reached}"
        typer.echo(f"{square:>10}  {gflops:9,.2f}  {cost.peak_mib:8,.0f}  {cost.seconds:8.3g}")
    beyond = sizes[sizes.index(reached) + 1] if reached else size
    typer.echo(f"{beyond}×{beyond} needs more memory than is free")
