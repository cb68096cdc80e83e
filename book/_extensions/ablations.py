"""Tables, sentences and figures for the ablation studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from eamamba.report.drawing import INPUT, OURS, styled
from eamamba.report.scores import Metrics, format_with_sign


def variant_scores(metrics: Mapping[str, Metrics]) -> pd.DataFrame:
    """Collect the scores of all variants and seeds in one table.

    Parameters
    ----------
    metrics : mapping
        Variant and its ``metrics.json``: size of the test images -> seed -> means.

    Returns
    -------
    DataFrame
        variant, size (such as ``64 pixels``), seed, psnr_db.
    """
    rows = [
        (variant, size, seed, means["psnr_db"])
        for variant, sizes in metrics.items()
        for size, seeds in sizes.items()
        for seed, means in seeds.items()
    ]
    return pd.DataFrame(rows, columns=["variant", "size", "seed", "psnr_db"])


def variant_costs(complexity: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Collect the costs of the variants, as trained here and at the paper's size.

    Parameters
    ----------
    complexity : mapping
        Variant and its ``complexity.csv``: size (first the profile, then ``paper``), parameters,
        gflops.

    Returns
    -------
    DataFrame
        By variant: parameters, gflops, parameters_paper, gflops_paper.
    """
    rows = {
        variant: {
            f"{name}{ending}": table.iloc[place][name]
            for place, ending in enumerate(("", "_paper"))
            for name in ("parameters", "gflops")
        }
        for variant, table in complexity.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def differences(measured: pd.DataFrame, base: str) -> pd.DataFrame:
    """Compare every variant with one of them.

    Networks trained alike from several seeds vary by chance. The variance is assumed to be the same
    for all variants, since each has few seeds, and is estimated from all of them together.

    Parameters
    ----------
    measured : DataFrame
        As returned by `variant_scores`.
    base : str
        The variant to which the others are compared.

    Returns
    -------
    DataFrame
        variant, size, psnr_db (the mean over the seeds), difference_db, and half_width_db of the
        95 % t interval of a difference, NaN with one seed.
    """
    found = []
    for size, part in measured.groupby("size", sort=False):
        runs = part.groupby("variant", sort=False)["psnr_db"]
        means, freedom = runs.mean(), int((runs.count() - 1).sum())
        pooled = (runs.var().mul(runs.count() - 1).sum() / freedom) ** 0.5 if freedom else np.nan
        errors = pooled * (1 / runs.count() + 1 / runs.count()[base]) ** 0.5
        table = pd.DataFrame({"size": size, "psnr_db": means, "difference_db": means - means[base]})
        found.append(table.assign(half_width_db=stats.t.ppf(0.975, freedom) * errors))
    return pd.concat(found).rename_axis("variant").reset_index()


def study_table(
    compared: pd.DataFrame,
    costs: pd.DataFrame,
    titles: Mapping[str, str],
    variants: Sequence[str],
    base: str,
) -> pd.DataFrame:
    """Lay out the variants of one study.

    Parameters
    ----------
    compared : DataFrame
        As returned by `differences`.
    costs : DataFrame
        By variant: parameters, gflops, parameters_paper, gflops_paper.
    titles : mapping
        Variant and its title.
    variants : sequence of str
    base : str
        The variant to which the others are compared.
    """
    part = costs.loc[list(variants)]
    columns: dict[str, Any] = {"Variant": [titles[name] for name in variants]}
    for size in (compared["size"].iloc[0], compared["size"].iloc[-1]):
        at = compared[compared["size"] == size].set_index("variant").loc[list(variants)]
        columns[f"PSNR on {_squares(size)}, dB"] = [
            f"{row.psnr_db:.2f}" + ("" if row.Index == base else f" ({_difference(row)})")
            for row in at.itertuples()
        ]
    # After the scores, which differ most: a phone shows the first columns.
    columns |= {
        "Parameters, M": (part["parameters"] / 1e6).map("{:.3f}".format),
        "GFLOPs": part["gflops"].map("{:.2f}".format),
        "Paper's size: parameters, M": (part["parameters_paper"] / 1e6).map("{:.1f}".format),
        "Paper's size: GFLOPs": part["gflops_paper"].map("{:.1f}".format),
    }
    return pd.DataFrame(columns)


def finding(
    compared: pd.DataFrame, titles: Mapping[str, str], variants: Sequence[str], base: str
) -> str:
    """Return a sentence on which variants of a study differ by more than chance.

    Parameters are those of `study_table`; the sentence is about the largest test images.
    """
    size = compared["size"].iloc[-1]
    at = compared[(compared["size"] == size) & (compared["variant"] != base)]
    at = at.set_index("variant").loc[[name for name in variants if name != base]]
    groups: dict[str, list[str]] = {"better than": [], "worse than": [], "no different from": []}
    for row in at.itertuples():
        clear = abs(row.difference_db) > row.half_width_db
        word = ("better than" if row.difference_db > 0 else "worse than") if clear else (
            "no different from"
        )  # fmt: skip
        groups[word].append(f"*{titles[row.Index]}* ({_difference(row)} dB)")
    said = [
        f"{word} {titles[base]}, as far as {_seeds(compared)} can tell: {', '.join(named)}"
        if word == "no different from"
        else f"{word} {titles[base]}: {', '.join(named)}"
        for word, named in groups.items()
        if named
    ]
    text = "; ".join(said)
    return f"**What this shows**, on images of {_squares(size)} pixels: {text}."


def answer(compared: pd.DataFrame, other: str) -> str:
    """Return whether a network beats a variant of it, at the smallest and the largest size.

    Parameters
    ----------
    compared : DataFrame
        As returned by `differences`, compared with the network.
    other : str
        The variant to compare it with.
    """
    sizes = [compared["size"].iloc[0], compared["size"].iloc[-1]]
    rows = compared[compared["variant"] == other].set_index("size").loc[sizes]
    verdicts = []
    for row in rows.itertuples():
        gain = -row.difference_db
        clear = abs(gain) > row.half_width_db
        verdicts.append(
            ("yes" if gain > 0 else "no, it harms") if clear else "these training runs cannot tell"
        )
    gains = [
        f"{format_with_sign(-row.difference_db)} ± {row.half_width_db:.2f} dB on images of "
        f"{_squares(row.Index)} pixels"
        for row in rows.itertuples()
    ]  # fmt: skip
    if verdicts[0] == verdicts[1]:
        return f"**At this scale: {verdicts[0]}.** The difference is {' and '.join(gains)}."
    return (
        f"**At this scale: on small images {verdicts[0]}, on large ones {verdicts[1]}.** "
        f"The difference is {' and '.join(gains)}."
    )


def _seeds(compared: pd.DataFrame) -> str:
    return "these seeds" if compared["half_width_db"].notna().all() else "a single seed"


def _squares(size: str) -> str:
    side = size.split()[0]
    return f"{side}×{side}"


def _difference(row: Any) -> str:
    change = format_with_sign(row.difference_db)
    return change if pd.isna(row.half_width_db) else f"{change} ± {row.half_width_db:.2f}"


def reported_table(
    paper: pd.DataFrame, study: str, titles: Mapping[str, str]
) -> pd.DataFrame | None:
    """Return the paper's scores for the variants of a study; None if there are none.

    Parameters
    ----------
    paper : DataFrame
        ``data/paper/ablations.csv``: study, variant, benchmark, psnr_db.
    study : str
    titles : mapping
        Variant and its title.
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
def difference_by_cost(
    compared: pd.DataFrame, costs: pd.DataFrame, titles: Mapping[str, str]
) -> Figure:
    """Draw the difference of every variant from the first, with its interval, and its GFLOPs.

    Parameters
    ----------
    compared, costs, titles : as for `study_table`
    """
    names = list(costs.index)
    sizes = [compared["size"].iloc[0], compared["size"].iloc[-1]]
    figure = Figure(figsize=(8.5, 1.1 + 0.36 * len(names)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    height = np.arange(len(names))[::-1]
    left.axvline(0, color="#BBBBBB", linewidth=0.8)
    for size, colour, shift in zip(sizes, (INPUT, OURS), (0.14, -0.14), strict=True):
        at = compared[compared["size"] == size].set_index("variant").loc[names]
        left.errorbar(at["difference_db"], height + shift, xerr=at["half_width_db"].fillna(0),
                      fmt="o", color=colour, capsize=2, markersize=5,
                      label=f"{_squares(size)} pixels")  # fmt: skip
    left.set_xlabel(f"PSNR minus that of {titles[names[0]]}, dB")
    left.legend(loc="best")
    right.plot(costs["gflops"], height, "o", color=OURS, markersize=7)
    right.axvline(costs["gflops"].iloc[0], color="#BBBBBB", linewidth=0.8, linestyle=":")
    right.set_xlabel("GFLOPs for 256×256 pixels")
    right.margins(x=0.12)
    left.set_yticks(height, [titles[name] for name in names])
    left.set_ylim(-0.6, len(names) - 0.4)
    return figure


@styled
def difference_by_size(
    compared: pd.DataFrame, titles: Mapping[str, str], variants: Sequence[str], base: str
) -> Figure:
    """Draw the difference from the base against the size of the test images.

    Parameters are those of `study_table`.
    """
    figure = Figure(figsize=(6, 3.2))
    axes = figure.subplots()
    axes.axhline(0, color="#BBBBBB", linewidth=0.8)
    for name in variants:
        if name == base:
            continue
        part = compared[compared["variant"] == name]
        sides = [int(size.split()[0]) for size in part["size"]]
        axes.errorbar(sides, part["difference_db"], yerr=part["half_width_db"].fillna(0), fmt="o-",
                      capsize=3, color=OURS, label=titles[name])  # fmt: skip
        axes.set_xticks(sides, [_squares(size) for size in part["size"]])
    axes.set_xlabel("size of the test images, pixels; the first is that of a training patch")
    axes.set_ylabel(f"PSNR minus that of\n{titles[base]}, dB")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
    return figure
