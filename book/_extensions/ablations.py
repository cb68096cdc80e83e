"""Tables and a figure for the ablation studies."""

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


def variant_rows(
    metrics: Mapping[str, Metrics],
    complexity: Mapping[str, pd.DataFrame],
    titles: Mapping[str, str],
) -> pd.DataFrame:
    """Collect the measurements of all variants in one table.

    Parameters
    ----------
    metrics : mapping
        Variant and its ``metrics.json``, of which the first benchmark is used.
    complexity : mapping
        Variant and its ``complexity.csv``: size (first the profile, then ``paper``), parameters,
        gflops.
    titles : mapping
        Variant and what tables call it.

    Returns
    -------
    DataFrame
        One row per variant, named by the index: title, parameters and gflops as trained,
        parameters_paper and gflops_paper, and ``psnr_db`` of every condition under its name.
    """
    rows: dict[str, dict[str, Any]] = {}
    for variant, measured in metrics.items():
        table = first_benchmark(scores(measured))
        own, paper = (complexity[variant].iloc[place] for place in (0, 1))
        costs = {"parameters": own["parameters"], "gflops": own["gflops"]}
        costs |= {"parameters_paper": paper["parameters"], "gflops_paper": paper["gflops"]}
        rows[variant] = (
            {"title": titles[variant]}
            | costs
            | dict(zip(table["condition"], table["psnr_db"], strict=True))
        )
    return pd.DataFrame.from_dict(rows, orient="index")


def study_table(rows: pd.DataFrame, variants: Sequence[str], base: str) -> pd.DataFrame:
    """Compare the variants of one study.

    Parameters
    ----------
    rows : DataFrame
        What `variant_rows` returns.
    variants : sequence of str
    base : str
        The variant to which the others are compared.
    """
    part = rows.loc[list(variants)]
    conditions = [column for column in rows if column not in _NON_SCORE_COLUMNS]
    columns: dict[str, Any] = {
        "Variant": part["title"],
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


_NON_SCORE_COLUMNS = ("title", "parameters", "gflops", "parameters_paper", "gflops_paper")


def reported_table(
    paper: pd.DataFrame, study: str, titles: Mapping[str, str]
) -> pd.DataFrame | None:
    """Return what the paper prints for the variants of a study; None if it prints nothing.

    Parameters
    ----------
    paper : DataFrame
        ``data/paper/ablations.csv``: study, variant, benchmark, psnr_db.
    study : str
    titles : mapping
        Variant and what tables call it.
    """
    part = paper[paper["study"] == study]
    rows = []
    for variant, title in titles.items():
        printed = part[part["variant"] == variant]
        if not printed.empty:
            values = zip(printed["benchmark"], printed["psnr_db"], strict=True)
            shown = {
                f"PSNR on {on.replace('sigma', 'σ = ')}, dB": f"{value:.2f}" for on, value in values
            }
            rows.append({"Variant": title} | shown)
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
    left.set_yticks(height, rows["title"])
    left.set_ylim(-0.6, len(rows) - 0.4)
    return figure
