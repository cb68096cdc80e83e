"""Tables and a figure of the ablation studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from eamamba.report.drawing import FLOP_NOTE, OURS, styled
from eamamba.report.scores import (
    Metrics,
    condition_label,
    first_benchmark,
    format_with_sign,
    scores,
)

NAMES = {
    "all_around": "EAMamba",
    "baseline_2dssm": "2DSSM baseline",
    "multi_head": "multi-head, raster only",
    "zigzag": "raster + zigzag",
    "zorder": "raster + Z-order",
    "hilbert": "raster + Hilbert",
    "heads_1": "1 head",
    "heads_2": "2 heads",
    "heads_4": "4 heads",
    "ffn": "FFN mixer",
    "gdfn": "GDFN mixer",
    "cca": "channel attention mixer",
    "no_gate": "no gate",
    "seed_1": "EAMamba, second seed",
    "seed_2": "EAMamba, third seed",
}
"""What tables call a variant."""


def name(variant: str) -> str:
    """Return what tables call a variant."""
    return NAMES.get(variant, variant.replace("_", " "))


def variant_rows(
    metrics: Mapping[str, Metrics], complexity: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Lay out what was measured of every variant.

    Parameters
    ----------
    metrics : mapping
        Variant and its ``metrics.json``; the first benchmark counts.
    complexity : mapping
        Variant and its ``complexity.csv``: size (the profile, then ``paper``), parameters,
        gflops.

    Returns
    -------
    DataFrame
        One row per variant, named by the index: parameters and gflops as trained,
        parameters_paper and gflops_paper, and ``psnr_db`` of every condition under its name.
    """
    rows: dict[str, dict[str, Any]] = {}
    for variant, measured in metrics.items():
        table = first_benchmark(scores(measured))
        own, paper = (complexity[variant].iloc[place] for place in (0, 1))
        costs = {"parameters": own["parameters"], "gflops": own["gflops"]}
        costs |= {"parameters_paper": paper["parameters"], "gflops_paper": paper["gflops"]}
        rows[variant] = costs | dict(zip(table["condition"], table["psnr_db"], strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def study_table(rows: pd.DataFrame, variants: Sequence[str], base: str) -> pd.DataFrame:
    """Compare the variants of one study.

    Parameters
    ----------
    rows : DataFrame
        What `variant_rows` returns.
    variants : sequence of str
    base : str
        The variant that differences are taken to.
    """
    part = rows.loc[list(variants)]
    conditions = [column for column in rows if column not in _COST_COLUMNS]
    columns: dict[str, Any] = {
        "Variant": [name(variant) for variant in part.index],
        "Parameters, M": (part["parameters"] / 1e6).map("{:.3f}".format),
        "GFLOPs": part["gflops"].map("{:.2f}".format),
        "Paper's size: parameters, M": (part["parameters_paper"] / 1e6).map("{:.1f}".format),
        "Paper's size: GFLOPs": part["gflops_paper"].map("{:.1f}".format),
    }
    for condition in conditions:
        difference = part[condition] - rows.loc[base, condition]
        columns[f"PSNR at {condition_label(condition)}, dB"] = [
            f"{value:.2f}" + ("" if variant == base else f" ({format_with_sign(change)})")
            for variant, value, change in zip(part.index, part[condition], difference, strict=True)
        ]
    return pd.DataFrame(columns)


_COST_COLUMNS = ("parameters", "gflops", "parameters_paper", "gflops_paper")


def reported_table(paper: pd.DataFrame, study: str, variants: Sequence[str]) -> pd.DataFrame | None:
    """Return what the paper prints for the variants of a study; None if it prints nothing.

    Parameters
    ----------
    paper : DataFrame
        ``data/paper/ablations.csv``: study, variant, benchmark, psnr_db.
    """
    part = paper[paper["study"] == study]
    rows = []
    for variant in variants:
        printed = part[part["variant"] == variant]
        if not printed.empty:
            values = zip(printed["benchmark"], printed["psnr_db"], strict=True)
            shown = {
                f"PSNR on {on.replace('sigma', 'σ = ')}, dB": f"{value:.2f}" for on, value in values
            }
            rows.append({"Variant": name(variant)} | shown)
    return pd.DataFrame(rows).fillna("–") if rows else None


@styled
def psnr_by_cost(rows: pd.DataFrame, condition: str) -> Figure:
    """Draw every variant's PSNR against its GFLOPs.

    Parameters
    ----------
    rows : DataFrame
        What `variant_rows` returns.
    condition : str
        Which PSNR, such as ``sigma25``.
    """
    figure = Figure(figsize=(7.5, 0.9 + 0.34 * len(rows)))
    left, right = figure.subplots(1, 2, sharey=True)
    height = range(len(rows))[::-1]
    for axes, column, label in (
        (left, condition, f"PSNR at {condition_label(condition)}, dB"),
        (right, "gflops", f"GFLOPs, 256×256 ({FLOP_NOTE})"),
    ):
        axes.plot(rows[column], height, "o", color=OURS, markersize=7)
        axes.axvline(rows[column].iloc[0], color="#BBBBBB", linewidth=0.8, linestyle=":")
        axes.set_xlabel(label)
        axes.margins(x=0.12)
    left.set_yticks(height, [name(variant) for variant in rows.index])
    left.set_ylim(-0.6, len(rows) - 0.4)
    return figure
