"""Tables and the figure on the paper's claims, for the start page and the page *Claims*."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from claims import (
    EXACTLY,
    IN_KIND,
    NOT_CONFIRMED,
    Evidence,
    Files,
    benchmark_scores,
    evidence,
    paper_scores,
    read_claims,
    savings,
)
from matplotlib.figure import Figure

from eamamba.config import Settings
from eamamba.report.drawing import FLOP_NOTE, INPUT, OURS, save, styled
from eamamba.report.scores import WHOLE, Metrics, condition_label, format_with_sign
from eamamba.report.tables import markdown

Claims = Mapping[str, Mapping[str, Any]]
OPEN = "open"
SCALES = ("x2", "x3", "x4")
"""Conditions that the title of the task names."""
DIGITS = 12
"""Digits of a SHA-256 shown in tables."""
MEASURED = "claims_cpu.csv"


def write_claims(
    root: Path, target: Path, settings: Settings, ablations: Mapping[str, Metrics]
) -> dict[str, str]:
    """Write the tables and the figure; return the numbers of claims by state, for the text.

    Parameters
    ----------
    root : Path
        The project's folder, with ``book/claims.yaml``, ``data/paper/`` and ``results/``.
    target : Path
        ``book/results``, with the results of the profile.
    settings : Settings
        Those of the profile.
    ablations : mapping
        Variant and its ``metrics.json``.
    """
    titles = {name: task.title for name, task in settings.tasks.items()}
    files = Files(root / "data" / "paper", target, ablations)
    claims, found = read_claims(root), evidence(files)
    measured = root / "results" / "benchmarks" / MEASURED
    costs = pd.read_csv(measured).set_index("stage") if measured.is_file() else pd.DataFrame()
    tables = {
        "claims": claims_table(claims, found),
        "claims_checks": checks_table(claims, costs, root, settings.profile),
        "claims_figures": figures_table(files, titles),
        "claims_benchmarks": benchmarks_table(benchmark_scores(files)),
    }
    for name, table in tables.items():
        (target / f"{name}.md").write_text(markdown(table), encoding="utf-8")
    save(cost_against_rivals(files), target / "claims_cost.png")
    text = json.dumps(told(claims, found, settings.profile), indent=1, ensure_ascii=False)
    (target / "claims.json").write_text(text, encoding="utf-8")
    states = [claim["state"] for claim in claims.values()]
    return {
        "claims_total": str(len(states)),
        "claims_exactly": str(states.count(EXACTLY)),
        "claims_in_kind": str(states.count(IN_KIND)),
        "claims_not_confirmed": str(states.count(NOT_CONFIRMED)),
        "claims_open": str(sum(state.startswith(OPEN) for state in states)),
    }


def claims_table(claims: Claims, found: Mapping[str, Evidence]) -> pd.DataFrame:
    """Lay out every claim: the paper's statement, the finding here, and the state.

    Parameters
    ----------
    claims : mapping
        ``book/claims.yaml``.
    found : mapping
        As returned by `evidence`.
    """
    rows = [
        {
            "Claim": f"**{claim['title']}.** {claim['claim']}",
            "Paper": found[name].paper,
            "Here": f"[{found[name].ours}]({claim['page']}.md)",
            "State": f"**{claim['state']}**",
        }
        for name, claim in claims.items()
    ]
    return pd.DataFrame(rows)


def told(claims: Claims, found: Mapping[str, Evidence], profile: str) -> dict[str, dict[str, str]]:
    """Return what other programs read of every claim: title, claim, paper, ours, state, and so on.

    Parameters
    ----------
    claims, found : mapping
        As for `claims_table`.
    profile : str
    """
    return {
        name: {
            **{key: claim[key] for key in ("title", "claim", "command", "state")},
            "file": claim["file"].format(profile=profile),
            "paper": found[name].paper,
            "ours": found[name].ours,
        }
        for name, claim in claims.items()
    }


def checks_table(claims: Claims, costs: pd.DataFrame, root: Path, profile: str) -> pd.DataFrame:
    """Lay out how each claim is checked: command, cost, tolerance, and the file with its hash.

    Parameters
    ----------
    claims : mapping
        ``book/claims.yaml``.
    costs : DataFrame
        By stage: cpu_seconds, peak_memory_mib, written_mib; a stage may be missing.
    root : Path
        The folder that the files are in.
    profile : str
    """
    rows = []
    for claim in claims.values():
        file = claim["file"].format(profile=profile)
        digest = hashlib.sha256((root / file).read_bytes()).hexdigest()
        rows.append(
            {"Claim": claim["title"], "Command": f"`{claim['command']}`"}
            | _costs(claim.get("stages", ()), costs)
            | {"May differ": claim["tolerance"], "Evidence": _to_download(file)}
            | {"SHA-256": f"`{digest[:DIGITS]}`"}
        )
    return pd.DataFrame(rows)


def _to_download(file: str) -> str:
    return f"{{download}}`{Path(file).name} </../{file}>`"


def _costs(stages: Sequence[str], costs: pd.DataFrame) -> dict[str, str]:
    known = bool(stages) and set(stages) <= set(costs.index)
    part = costs.loc[list(stages)] if known else None
    if part is None:
        return {"Takes": "–"}
    minutes, megabytes = part["cpu_seconds"].sum() / 60, part["written_mib"].sum() * 2**20 / 1e6
    memory = part["peak_memory_mib"].max() * 2**20 / 1e9
    amounts = (f"{minutes:.1f} min", f"{memory:.1f} GB", f"writes {megabytes:.1f} MB")
    return {"Takes": ", ".join(amount.replace(" ", "\u00a0") for amount in amounts)}


def benchmarks_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Put the scores here beside the paper's, on complete published sets.

    Parameters
    ----------
    scores : DataFrame
        As returned by `benchmark_scores`.
    """
    return pd.DataFrame(
        {
            "Test set": scores["benchmark"] + [f" ({n} images)" for n in scores["images"]],
            "Noise": scores["condition"],
            "Input, dB": scores["psnr_input_db"].map("{:.2f}".format),
            "Restored here, dB": scores["psnr_db"].map("{:.2f}".format),
            "Paper, dB": scores["psnr_db_paper"].map("{:.2f}".format),
            "Difference, dB": (scores["psnr_db"] - scores["psnr_db_paper"]).map(format_with_sign),
        }
    )


def figures_table(files: Files, titles: Mapping[str, str]) -> pd.DataFrame:
    """List every figure of the paper that is in `data/paper`, with its counterpart here.

    Parameters
    ----------
    files : Files
    titles : mapping
        Task and its title.
    """
    scores = paper_scores(files).merge(
        benchmark_scores(files)[["task", "benchmark", "condition", "psnr_db"]],
        on=["task", "benchmark", "condition"], how="left", suffixes=("", "_here"),
    )  # fmt: skip
    rows = [
        _figure(
            f"PSNR, {_test(row, titles)}",
            f"{row.psnr_db:.2f} dB",
            "–" if pd.isna(row.psnr_db_here) else f"{row.psnr_db_here:.2f} dB",
            OPEN if pd.isna(row.psnr_db_here) else IN_KIND,
        )
        for row in scores.itertuples()
    ]
    rows += [
        _figure(f"SSIM, {_test(row, titles)}", f"{row.ssim:.3f}")
        for row in scores[scores["ssim"].notna()].itertuples()
    ]
    ablations = pd.read_csv(files.paper / "ablations.csv")
    rows += [
        _figure(
            f"PSNR, {row.label}, {row.benchmark.replace(' sigma', ', σ = ').replace(' x', ' ×')}",
            f"{row.psnr_db:.2f} dB",
        )
        for row in ablations.itertuples()
    ]
    return pd.DataFrame([*_costs_printed(files), *rows])


def _test(score: Any, titles: Mapping[str, str]) -> str:
    """Name the task and the test images of a score."""
    test = f"{titles[score.task]}, {score.benchmark}"
    said = score.condition == condition_label(WHOLE) or score.condition in SCALES
    return test if said else f"{test}, {score.condition}"


def _costs_printed(files: Files) -> list[dict[str, str]]:
    table = pd.read_csv(files.paper / "complexity.csv")
    printed = table[table["source"] == "reported"].set_index("network")
    rows = []
    for network, row in printed.iterrows():
        own = pd.notna(row["params_m"])  # for other authors' networks, only the FLOPs are reported
        if own:
            counted = files.counted(str(network))
            millions = counted["parameters"] / 1e6
            state = EXACTLY if round(millions, 1) == row["params_m"] else NOT_CONFIRMED
            printed_m, here_m = f"{row['params_m']:.1f} M", f"{millions:.2f} M"
            rows.append(_figure(f"Parameters, {row['label']}", printed_m, here_m, state))
            state = EXACTLY if round(counted["gflops"]) == row["gflops"] else NOT_CONFIRMED
            here = f"{counted['gflops']:.1f} GFLOPs"
        else:
            here, state = "–", "taken from the paper"
        rows.append(_figure(f"FLOPs, {row['label']}", f"{row['gflops']:.0f} GFLOPs", here, state))
    return rows


def _figure(what: str, paper: str, here: str = "–", state: str = OPEN) -> dict[str, str]:
    return {"Figure": what, "Paper": paper, "Here": here, "State": state}


@styled
def cost_against_rivals(files: Files) -> Figure:
    """Draw the FLOPs of EAMamba, as counted here, beside those reported in the paper for others."""
    table = savings(files)
    names = ["EAMamba, counted here", *(f"{label}, by the paper" for label in table["label"])]
    costs = [files.counted("eamamba")["gflops"], *table["gflops"].astype(float)]
    notes = ["", *(f"  EAMamba: {share:.0f} % less" for share in table["ours_percent"])]
    figure = Figure(figsize=(7.5, 0.9 + 0.42 * len(names)))
    axes = figure.subplots()
    bars = axes.barh(names, costs, color=[OURS, *[INPUT] * len(table)], height=0.6)
    labels = [f"{cost:.0f}{note}" for cost, note in zip(costs, notes, strict=True)]
    axes.bar_label(bars, labels, padding=4, fontsize=8.5)
    axes.invert_yaxis()
    axes.set(xlabel=f"GFLOPs for 256×256 pixels, {FLOP_NOTE}", xlim=(0, 1.3 * max(costs)))
    return figure
