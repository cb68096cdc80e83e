"""The claims of the paper and its reported figures, with the evidence in files here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml
from ablations import differences, variant_scores

from eamamba.cards import shipped_cards
from eamamba.report.scores import WHOLE, Metrics, condition_label, format_with_sign

EXACTLY = "reproduced exactly"
IN_KIND = "in kind, at reduced scale"
ABSENT = "open: needs the published data sets and a GPU for days"
UNDECIDED = "open: needs longer training than minutes on a laptop"
NOT_CONFIRMED = "not confirmed"
RIVALS = ("mambair_unet", "baseline_2dssm", "mambair")
"""Networks whose cost the paper reports beside its own."""
WHOLE_SETS = ("CBSD68", "Kodak24")
"""Published test sets of which every image was scored here."""


class Evidence(NamedTuple):
    """What the paper reports, what was found here, and the resulting state of the claim."""

    paper: str
    ours: str
    state: str


class Files(NamedTuple):
    """The files with the evidence."""

    paper: Path  # data/paper
    results: Path  # results/<profile>
    ablations: Mapping[str, Metrics]  # variant -> metrics.json

    def reported(self, network: str) -> pd.Series:
        """Return the paper's figures on a network's size."""
        table = pd.read_csv(self.paper / "complexity.csv")
        return table[(table["source"] == "reported")].set_index("network").loc[network]

    def counted(self, network: str) -> pd.Series:
        """Return the figures counted here."""
        table = pd.read_csv(self.results / "profiling" / "complexity.csv")
        return table.set_index("network").loc[network]


def read_claims(root: Path) -> dict[str, dict[str, str]]:
    """Return ``book/claims.yaml``."""
    return yaml.safe_load((root / "book" / "claims.yaml").read_text(encoding="utf-8"))


def evidence(files: Files) -> dict[str, Evidence]:
    """Return the evidence for every claim, by its name in ``book/claims.yaml``."""
    return {find.__name__.removeprefix("_"): find(files) for find in FINDERS}


def _size(files: Files) -> Evidence:
    return _compare_sizes(files, "eamamba")


def _baseline_cost(files: Files) -> Evidence:
    return _compare_sizes(files, "baseline_2dssm")


def _compare_sizes(files: Files, network: str) -> Evidence:
    paper, ours = files.reported(network), files.counted(network)
    parameters_m = ours["parameters"] / 1e6
    same = round(parameters_m, 1) == paper["params_m"] and round(ours["gflops"]) == paper["gflops"]
    return Evidence(
        f"{paper['params_m']:.1f} M, {paper['gflops']:.0f} GFLOPs",
        f"{parameters_m:.2f} M, {ours['gflops']:.1f} GFLOPs",
        EXACTLY if same else NOT_CONFIRMED,
    )


def savings(files: Files) -> pd.DataFrame:
    """Return how much less EAMamba costs than each rival, by the paper's count and by ours.

    Returns
    -------
    DataFrame
        By network: label, gflops (of the rival, as reported in the paper), paper_percent,
        ours_percent.
    """
    rivals = pd.DataFrame([files.reported(name) for name in RIVALS])[["label", "gflops"]]
    rivals["label"] = rivals["label"].str.partition(" (")[0]
    counts = {"paper": files.reported("eamamba"), "ours": files.counted("eamamba")}
    for who, network in counts.items():
        rivals[f"{who}_percent"] = 100 * (1 - network["gflops"] / rivals["gflops"].astype(float))
    return rivals


def _rivals(files: Files) -> Evidence:
    table = savings(files)
    printed = pd.read_csv(files.paper / "savings.csv").iloc[0]
    low, high = printed[["low_percent", "high_percent"]]
    each = [f"{row.ours_percent:.0f} % less than {row.label}" for row in table.itertuples()]
    ours = table["ours_percent"].round()
    within = low <= ours.min() and ours.max() == high
    same = within and (ours == table["paper_percent"].round()).all()
    return Evidence(f"{low}–{high} % less", ", ".join(each), EXACTLY if same else NOT_CONFIRMED)


def _linear_cost(files: Files) -> Evidence:
    table = pd.read_csv(files.results / "profiling" / "complexity_by_size.csv")
    part = table[table["model"] == table["model"].iloc[0]].set_index("size")["gflops"]
    ratio = part.iloc[-1] / part.iloc[-2] / (part.index[-1] / part.index[-2]) ** 2
    said = f"{ratio:.3f} times the cost per pixel at twice the side"
    return Evidence("linear", said, EXACTLY if abs(ratio - 1) < 0.01 else NOT_CONFIRMED)


def _pixel_forgetting(files: Files) -> Evidence:
    steps = pd.read_csv(files.results / "scan_orders" / "neighbour_steps.csv")
    largest = steps[(steps["size"] == steps["size"].max()) & (steps["scan"] == "eight heads")]
    mean = largest.set_index("pattern")["mean_steps"]
    said = f"{mean['diagonal']:.0f} step instead of {mean['raster']:.0f} on average"
    near = mean["diagonal"] < 2 < mean["raster"]
    return Evidence("mitigates local pixel forgetting", said, EXACTLY if near else NOT_CONFIRMED)


def _multi_head(files: Files) -> Evidence:
    return _compare_variants(files, "baseline_2dssm", "multi_head")


def _all_around(files: Files) -> Evidence:
    return _compare_variants(files, "multi_head", "all_around")


def _compare_variants(files: Files, base: str, other: str) -> Evidence:
    """Compare two variants; a difference that may be due to chance decides nothing."""
    printed = pd.read_csv(files.paper / "ablations.csv")
    module = printed[printed["study"] == "module"].set_index("variant")["psnr_db"]
    theirs = module[other] - module[base]
    compared = differences(variant_scores(files.ablations), base)
    largest = compared[compared["size"] == compared["size"].iloc[-1]].set_index("variant")
    row = largest.loc[other]
    ours, half = row["difference_db"], row["half_width_db"]
    state = IN_KIND if ours * theirs > 0 else NOT_CONFIRMED
    return Evidence(
        f"{format_with_sign(theirs)} dB (Urban100, σ = 25)",
        f"{format_with_sign(ours)} ± {half:.2f} dB (held-out photographs, σ = 25)",
        state if abs(ours) > half else UNDECIDED,
    )


def benchmark_scores(files: Files) -> pd.DataFrame:
    """Put the scores of the weights in the package on complete published sets beside the paper's.

    Returns
    -------
    DataFrame
        One row per score that the paper reports for such a set: task, benchmark, condition,
        psnr_db_paper, parameters (of the network here), and the fields of a card's score.
    """
    paper = paper_scores(files).rename(columns={"psnr_db": "psnr_db_paper"}).drop(columns="ssim")
    rows: list[dict[str, object]] = [
        {"task": name, "parameters": card.parameters, "benchmark": score.test} | score.model_dump()
        for name, card in shipped_cards().items()
        for score in card.scores
        if score.test in WHOLE_SETS
    ]
    return paper.merge(pd.DataFrame(rows), on=["task", "benchmark", "condition"])


def paper_scores(files: Files) -> pd.DataFrame:
    """Return the paper's scores: task, benchmark, condition (as named in tables), psnr_db, ssim."""
    table = pd.read_csv(files.paper / "paper_results.csv").fillna({"setting": WHOLE})
    return table.assign(condition=table["setting"].map(condition_label)).drop(columns="setting")


def _denoising(files: Files) -> Evidence:
    """Compare on published sets, with a network smaller than the paper's."""
    scores = benchmark_scores(files)
    paper, below = scores["psnr_db_paper"], scores["psnr_db_paper"] - scores["psnr_db"]
    size = f"a network of {scores['parameters'].max() / 1e6:.1f} M parameters"
    return Evidence(
        f"{paper.min():.2f} to {paper.max():.2f} dB",
        f"{below.min():.2f} to {below.max():.2f} dB below, with {size}",
        IN_KIND if (scores["gain_low_db"] > 0).all() else NOT_CONFIRMED,
    )


def _scores(files: Files) -> Evidence:
    others = ~paper_scores(files)["benchmark"].isin(WHOLE_SETS)
    return Evidence(f"{others.sum()} scores", "stand-ins on photographs", ABSENT)


FINDERS: tuple[Callable[[Files], Evidence], ...] = (
    *(_size, _baseline_cost, _rivals, _linear_cost, _pixel_forgetting),
    *(_denoising, _multi_head, _all_around, _scores),
)
