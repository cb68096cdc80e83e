"""Scores for readers: ours as written by the evaluation, next to the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from eamamba.config import ProtocolSettings

REPORTED, MEASURED = "reported by the paper", "measured here"
WHOLE = "all"
"""The condition of a test that has only one."""
_SCORE_COLUMNS = ["condition", "psnr_db", "ssim"]

SPREAD = ["gain_sd_db", "gain_low_db", "gain_high_db"]
"""Columns of `scores` about the spread over the images; empty for a single image."""

Metrics = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``metrics.json``: benchmark -> condition -> means over the images."""


def condition_label(condition: str) -> str:
    """Return the label of a condition in figures and tables: ``σ = 25`` for ``sigma25``."""
    sigma = condition.removeprefix("sigma")
    if sigma != condition:
        return f"σ = {sigma}"
    return "all images" if condition == WHOLE else condition


def protocol_label(protocol: ProtocolSettings) -> str:
    """Return the label of a protocol in tables, such as ``Y PSNR and SSIM, 2-pixel border cut``."""
    volume = "volume " if protocol.ssim == "volume" else ""
    rounded = " on 8-bit images" if protocol.eight_bit else ""
    cut = f", {protocol.border}-pixel border cut" if protocol.border else ""
    colour = {"rgb": "RGB", "y": "Y", "y8": "8-bit Y"}[protocol.colour]
    return f"{colour} PSNR and {volume}SSIM{rounded}{cut}"


def middle(conditions: list[str]) -> str:
    """Return the condition that represents a whole test.

    For a benchmark with parts, all of them combined; for several noise levels, the middle one.
    """
    return "combined" if "combined" in conditions else conditions[len(conditions) // 2]


def scores(metrics: Metrics) -> pd.DataFrame:
    """Lay out ``metrics.json`` as a table.

    Returns
    -------
    DataFrame
        benchmark, condition, and the values returned by `eamamba.evaluation.evaluate`, in the order
        of the file.

    Raises
    ------
    ValueError
        If a benchmark has no images, or a mean is infinite.
    """
    rows = [
        {"benchmark": benchmark, "condition": condition} | dict(means)
        for benchmark, conditions in metrics.items()
        for condition, means in conditions.items()
    ]
    table = pd.DataFrame(rows)
    if table.empty or table.drop(columns=SPREAD, errors="ignore").isna().any(axis=None):
        raise ValueError("metrics.json has no scores, or infinite ones; run the evaluation again")
    return table


def first_benchmark(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first benchmark in the result of `scores`."""
    return table[table["benchmark"] == table["benchmark"].iloc[0]]


def score_table(measured: Mapping[str, Metrics], paper: pd.DataFrame, task: str) -> pd.DataFrame:
    """Put our scores beside the paper's, grouped by test images.

    Parameters
    ----------
    measured : mapping
        Origin of the weights, such as "laptop profile", and its ``metrics.json``. Benchmarks of
        the same name must consist of the same images.
    paper : DataFrame
        ``data/paper/paper_results.csv``: task, benchmark, setting, psnr_db, ssim.
    task : str

    Returns
    -------
    DataFrame
        Images, Picture, Source, and for each condition the PSNR and, unless the paper's table
        omits it, the SSIM.
    """
    theirs = paper[paper["task"] == task]
    with_ssim = theirs.empty or bool(theirs["ssim"].notna().any())
    rows: list[dict[str, Any]] = []
    for label, metrics in measured.items():
        for name, part in scores(metrics).groupby("benchmark", sort=False):
            pictures = {f"EAMamba, {label}": ("psnr_db", "ssim")}
            if name not in {row["Images"] for row in rows}:
                before = {f"input, {part['images'].max()} images": ("psnr_input_db", "ssim_input")}
                pictures = before | pictures
            for picture, columns in pictures.items():
                shown = part[["condition", *columns]].set_axis(_SCORE_COLUMNS, axis=1)
                found = {"Images": name, "Picture": picture, "Source": MEASURED}
                rows.append(found | _score_cells(shown, with_ssim))
    for name, part in theirs.groupby("benchmark", sort=False):
        cited = {"Images": name, "Picture": "EAMamba, full size", "Source": REPORTED}
        rows.append(cited | _score_cells(_name_conditions(part), with_ssim))
    images = list(dict.fromkeys(row["Images"] for row in rows))
    rows.sort(key=lambda row: images.index(row["Images"]))
    return pd.DataFrame(rows).fillna("–")


def _name_conditions(paper: pd.DataFrame) -> pd.DataFrame:
    """Rename the conditions in the paper's rows to ours; a scale factor is not a condition."""
    setting = paper["setting"].fillna(WHOLE).replace(r"x\d", WHOLE, regex=True)
    return paper.assign(condition=setting)


def _score_cells(means: pd.DataFrame, with_ssim: bool) -> dict[str, str]:
    cells = {}
    for row in means.itertuples():
        where = "" if row.condition == WHOLE else f"{condition_label(row.condition)}: "
        cells[f"{where}PSNR, dB"] = f"{row.psnr_db:.2f}"
        if with_ssim:
            cells[f"{where}SSIM"] = f"{row.ssim:.3f}"
    return cells


def glance(measured: Mapping[str, Metrics], titles: Mapping[str, str]) -> pd.DataFrame:
    """Return one row of scores per task: its first benchmark, its `middle` condition.

    Parameters
    ----------
    measured : mapping
        Task and its ``metrics.json``.
    titles : mapping
        Task and its title.

    Returns
    -------
    DataFrame
        As `scores`, with task and title in front.
    """
    rows = []
    for task, metrics in measured.items():
        table = first_benchmark(scores(metrics))
        chosen = table[table["condition"] == middle(table["condition"].tolist())]
        rows.append(chosen.assign(task=task, title=titles[task]))
    joined = pd.concat(rows, ignore_index=True)
    names = ["task", "title"]
    return joined[[*names, *(name for name in joined if name not in names)]]


def after_comma(condition: str) -> str:
    """Return the suffix of a test's name: its condition, if it has several."""
    return "" if condition == WHOLE else f", {condition_label(condition)}"


def degradation_labels(rows: pd.DataFrame) -> pd.Series:
    """Return labels for the rows of `glance`: the task, and its condition if it has several."""
    return rows["title"] + rows["condition"].map(after_comma)


def glance_table(rows: pd.DataFrame, protocols: Mapping[str, str]) -> pd.DataFrame:
    """Format `glance` for readers, with the protocol of each task."""
    return pd.DataFrame(
        {
            "Degradation": degradation_labels(rows),
            "PSNR, dB": _change(rows["psnr_input_db"], rows["psnr_db"], "{:.2f}"),
            "Gain, dB": rows["gain_db"].map(format_with_sign),
            "95 % interval": gain_interval(rows),
            "Got worse": rows["worse"].astype(str) + " of " + rows["images"].astype(str),
            "SSIM": _change(rows["ssim_input"], rows["ssim"], "{:.3f}"),
            "Protocol": rows["task"].map(protocols),
        }
    )


def longer_training_table(own: pd.DataFrame, longer: pd.DataFrame) -> pd.DataFrame:
    """Set the gains of two trainings side by side.

    Parameters
    ----------
    own, longer : DataFrame
        As `glance` returns them. Only tasks with the same inputs in both are shown: with equal
        PSNR before restoration.
    """
    both = own.merge(longer, on=["task", "psnr_input_db"], suffixes=("", "_longer"))
    second = both[[f"{name}_longer" for name in ("gain_db", *SPREAD)]]
    second = second.set_axis(["gain_db", *SPREAD], axis=1)
    return pd.DataFrame(
        {
            "Degradation": degradation_labels(both),
            "Gain, dB": both["gain_db"].map(format_with_sign),
            "95 % interval": gain_interval(both),
            "Gain of the longer training, dB": second["gain_db"].map(format_with_sign),
            "Its 95 % interval": gain_interval(second),
        }
    )


def _change(before: pd.Series, after: pd.Series, digits: str) -> pd.Series:
    return before.map(digits.format) + " → " + after.map(digits.format)


def paper_table(
    paper: pd.DataFrame, titles: Mapping[str, str], protocols: Mapping[str, str]
) -> pd.DataFrame:
    """Format the paper's own scores of all tasks, from ``data/paper/paper_results.csv``."""
    named = _name_conditions(paper)
    return pd.DataFrame(
        {
            "Degradation": named["task"].map(titles),
            "Benchmark": named["benchmark"],
            "Condition": named["condition"].map(condition_label),
            "PSNR, dB": named["psnr_db"].map("{:.2f}".format),
            "SSIM": ["–" if pd.isna(value) else f"{value:.3f}" for value in named["ssim"]],
            "Protocol": named["task"].map(protocols),
        }
    )


def gain_interval(rows: pd.DataFrame) -> pd.Series:
    """Format the interval of the mean gain in rows of `scores`; a dash for a single image."""
    ends = (rows["gain_low_db"], rows["gain_high_db"])
    low, high = (end.map(format_with_sign).astype(str) for end in ends)
    return (low + " to " + high).where(rows["gain_low_db"].notna(), "–")


def format_with_sign(value_db: float) -> str:
    """Format a difference with its sign."""
    return f"{value_db:+.2f}".replace("-", "−")


def pick(per_image: pd.DataFrame, condition: str) -> dict[str, str]:
    """Return the images with the best, the median and the worst gain under one condition.

    Parameters
    ----------
    per_image : DataFrame
        ``per_image.csv``: benchmark, image, condition, psnr_input_db, psnr_db.
    condition : str
        One of its conditions; ``combined`` and ``all`` mean all images.

    Returns
    -------
    dict
        "best", "median" and "worst", each with its image; fewer entries for fewer than three
        images.

    Raises
    ------
    ValueError
        If no image has that condition.
    """
    shown = per_image
    if condition != "combined":
        shown = per_image[per_image["condition"] == condition]
    if shown.empty:
        known = ", ".join(per_image["condition"].unique())
        raise ValueError(f"no image under {condition!r}; conditions: {known}")
    gain = shown["psnr_db"] - shown["psnr_input_db"]
    ranked = shown["image"].loc[gain.sort_values(ascending=False, kind="stable").index].tolist()
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    chosen: dict[str, str] = {}
    for label, place in places.items():
        if ranked[place] not in chosen.values():
            chosen[label] = ranked[place]
    return chosen
