"""What the book includes: results of one profile, Markdown tables, and numbers for its text."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import yaml
from ablations import (
    answer,
    difference_by_cost,
    difference_by_size,
    differences,
    finding,
    reported_table,
    study_table,
    variant_costs,
    variant_scores,
)
from architecture import write_diagrams
from claims_pages import write_claims
from real_pair_tables import write_best_filter, write_simulation
from runs import write_runs
from speed_pages import write_speed
from task_pages import PACKAGE_PROFILE, read_metrics, write_tasks

from eamamba.cards import card_markdown, cards_table, shipped_cards
from eamamba.config import EAMambaError, EAMambaSettings, Settings, load_settings
from eamamba.datasets import PUBLISHED
from eamamba.report.charts import gains
from eamamba.report.drawing import save
from eamamba.report.scans import area_table, neighbour_table
from eamamba.report.scores import (
    Metrics,
    glance,
    glance_table,
    longer_training_table,
    paper_table,
    protocol_label,
)
from eamamba.report.tables import (
    complexity_table,
    headline_table,
    markdown,
    photograph_table,
    protocol_table,
    real_pairs_table,
)

RASTER_ONLY = "multi_head"
"""The variant of the ablation study without diagonal paths, all else equal."""
# Large or specific to the machine, and not shown on any page.
NOT_COPIED = ("*.safetensors", "*.pt", ".gitignore")


class ResultsError(EAMambaError, RuntimeError):
    """Results that a page shows are missing."""


def write_pages(root: Path, target: Path) -> dict[str, str]:
    """Copy the results of the profile in ``params.yaml`` and write the tables of the pages.

    Parameters
    ----------
    root : Path
        The project's folder, with ``params.yaml``, ``results/``, ``data/paper/`` and ``book/``.
    target : Path
        Folder to replace with a copy of the profile's results, plus tables and sections in
        Markdown and the figures that compare tasks or variants.

    Returns
    -------
    dict of str
        Numbers for the text, ready to print.

    Raises
    ------
    ResultsError
        If a stage of the pipeline has not run for this profile.
    """
    profile = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["profile"]
    settings = load_settings(root / "params.yaml", profile)
    source = root / "results" / profile
    stages = ["profiling/complexity.csv", "photographs/training.jpg", "ablation_fields/areas.csv"]
    stages += ["protocols/differences.csv", "pictures/pictures.csv"]
    stages += [f"scan_orders/{file}" for file in ("all_around.png", "neighbour_steps.csv")]
    folders = [*settings.tasks, *(f"ablations/{variant}" for variant in settings.ablations)]
    stages += [f"{name}/{file}" for name in folders for file in ("settings.yaml", "metrics.json")]
    missing = [stage for stage in stages if not (source / stage).is_file()]
    if missing:
        raise ResultsError(f"{source} lacks {', '.join(missing)}; run the pipeline: dvc repro")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_COPIED))
    figures = {"profile": profile} | _write_complexity(root, target / "profiling")
    figures |= write_speed(root / "results" / "benchmarks", target / "benchmarks")
    write_diagrams(target / "architecture")
    _write_credits(root, target, next(iter(settings.tasks)))  # all tasks have the same photographs
    figures |= write_tasks(root, target, settings)
    _write_models(target / "models.md")
    steps = pd.read_csv(target / "scan_orders" / "neighbour_steps.csv")
    _write_table(target / "scan_orders" / "neighbour_steps.md", neighbour_table(steps))
    rounded = pd.read_csv(target / "protocols" / "differences.csv")
    effects = protocol_table(rounded).replace(r"\+0\.0+ \(\+0\.0+ to \+0\.0+\)", "–", regex=True)
    _write_table(target / "protocols" / "differences.md", effects)
    write_runs(target, settings)
    _write_glance(root, target, settings)
    _write_ablations(root, target / "ablations", settings)
    titles = {name: task.title for name, task in settings.tasks.items()}
    _write_real_pairs(root, target, settings.profile, titles)
    write_best_filter(root, target / "benchmarks" / "best_filter.md", titles)
    write_simulation(root, target / "benchmarks" / "simulation.md", titles)
    variants = _of_variants(target, settings)
    seeds = {len(runs) for sizes in variants.values() for runs in sizes.values()}
    figures["ablation_seeds"] = " to ".join(map(str, sorted(seeds)))
    figures |= write_claims(root, target, settings, variants)
    return figures | _paper_network()


def _paper_network() -> dict[str, str]:
    """Return the sizes of the paper's network: the defaults of its settings."""
    paper = EAMambaSettings()
    blocks = {f"paper_blocks_{level}": str(n) for level, n in enumerate(paper.num_blocks, start=1)}
    return blocks | {
        "paper_refinement": str(paper.num_refinement_blocks),
        "paper_dim": str(paper.dim),
        "paper_heads": str(paper.mamba_cfg.scan_count),
        "paper_states": str(paper.mamba_cfg.d_state),
    }


def _write_complexity(root: Path, folder: Path) -> dict[str, str]:
    counted = pd.read_csv(folder / "complexity.csv")
    paper = pd.read_csv(root / "data" / "paper" / "complexity.csv")
    _write_table(folder / "headline.md", headline_table(counted, paper))
    _write_table(folder / "variants.md", complexity_table(counted, paper))
    rows = counted.set_index("network")
    figures = {}
    for network in ("eamamba", "baseline_2dssm", "own"):
        figures[f"{network}_parameters_m"] = f"{rows.loc[network, 'parameters'] / 1e6:.2f}"
        figures[f"{network}_gflops"] = f"{rows.loc[network, 'gflops']:.1f}"
    saved = 1 - rows.loc["eamamba", "gflops"] / rows.loc["baseline_2dssm", "gflops"]
    return figures | {"gflops_saved_percent": f"{100 * saved:.0f}"}


def _write_glance(root: Path, target: Path, settings: Settings) -> None:
    """Write the tables and the figure that cover all tasks."""
    measured = {task: read_metrics(target / task) for task in settings.tasks}
    protocols = {
        name: protocol_label(task.evaluation.protocol) for name, task in settings.tasks.items()
    }
    titles = {name: task.title for name, task in settings.tasks.items()}
    rows = glance(measured, titles)
    _write_table(target / "glance.md", glance_table(rows, protocols))
    package = root / "results" / PACKAGE_PROFILE
    trained = [task for task in settings.tasks if (package / task / "metrics.json").is_file()]
    longer = glance({task: read_metrics(package / task) for task in trained}, titles)
    _write_table(target / "longer_training.md", longer_training_table(rows, longer))
    save(gains(rows, f"{settings.profile} profile"), target / "glance.png")
    cards = [
        f":::{{grid-item-card}} {title}\n![{title}: input, restored, ground truth, "
        f"and mean scores](results/{task}/summary.jpg)\n:::\n"
        for task, title in titles.items()
    ]
    text = "\n".join(["::::{grid} 1 1 2 2", *cards, "::::"])
    (target / "gallery.md").write_text(text, encoding="utf-8")
    paper = pd.read_csv(root / "data" / "paper" / "paper_results.csv")
    order = {task: place for place, task in enumerate(settings.tasks)}
    paper = paper.sort_values("task", key=lambda names: names.map(order), kind="stable")
    _write_table(target / "paper.md", paper_table(paper, titles, protocols))


def _of_variants(target: Path, settings: Settings) -> dict[str, Metrics]:
    """Return ``metrics.json`` of every variant of the ablation study."""
    return {name: read_metrics(target / "ablations" / name) for name in settings.ablations}


def _write_credits(root: Path, target: Path, task: str) -> None:
    """Credit a task's photographs; those in the repository have a table of their own."""
    files = [target / task / f"{use}_images.csv" for use in ("training", "test")]
    photographs = pd.concat(pd.read_csv(file) for file in files)
    known = pd.read_csv(root / "data" / "photographs" / "CREDITS.csv")
    known["image"] = known["file"].str.rpartition("/")[2]
    known["credit"] = known["collection"] + ", " + known["original"]
    known = known.set_index("image")
    credited = photographs.set_index("image").fillna(known).reset_index()
    collection = credited["image"].map(known["collection"]).fillna(credited["credit"])
    counts = pd.crosstab([collection, credited["licence"]], credited["split"]).reset_index()
    counts = counts.set_axis(["Collection", "Licence", *counts.columns[2:]], axis=1)
    text = (
        f"{markdown(counts)}\n:::{{dropdown}} All {len(credited)} crops, with the name of each "
        f"original\n{markdown(photograph_table(credited))}:::\n"
    )
    (target / "photographs" / "credits.md").write_text(text, encoding="utf-8")


def _write_ablations(root: Path, folder: Path, settings: Settings) -> None:
    """Write every study's finding and tables, ours and the paper's, and the figures."""
    paper = pd.read_csv(root / "data" / "paper" / "ablations.csv")
    titles = {name: variant.title for name, variant in settings.ablations.items()}
    base = next(iter(titles))
    compared = differences(variant_scores(_of_variants(folder.parent, settings)), base)
    costs = variant_costs({name: pd.read_csv(folder / name / "complexity.csv") for name in titles})
    for study, names in settings.studies.items():
        text = finding(compared, titles, names, base) + "\n"
        (folder / f"{study}_finding.md").write_text(text, encoding="utf-8")
        _write_table(folder / f"{study}.md", study_table(compared, costs, titles, names, base))
        reported = reported_table(paper, study, {name: titles[name] for name in names})
        if reported is not None:
            _write_table(folder / f"{study}_reported.md", reported)
    text = answer(compared, RASTER_ONLY) + "\n"
    (folder / "all_around_answer.md").write_text(text, encoding="utf-8")
    areas = pd.read_csv(folder.parent / "ablation_fields" / "areas.csv")
    _write_table(folder / "areas.md", area_table(areas))
    save(difference_by_cost(compared, costs, titles), folder / "difference_by_cost.png")
    gate = settings.studies.get("gate", ())
    save(difference_by_size(compared, titles, gate, base), folder / "difference_by_size.png")


def _write_models(path: Path) -> None:
    """Write the cards of the weights in the package."""
    cards = shipped_cards().values()
    text = "\n\n".join([cards_table(cards), *(card_markdown(card) for card in cards)])
    path.write_text(text, encoding="utf-8")


def _write_real_pairs(root: Path, target: Path, profile: str, titles: Mapping[str, str]) -> None:
    """Write the scores of all weights on real pairs, and name those that were not scored."""
    weights = {
        PACKAGE_PROFILE: ("Weights in the package", "eamamba real-pairs"),
        profile: (f"Weights of the {profile} profile", f"eamamba real-pairs --profile {profile}"),
    }
    parts = []
    for owner, (label, command) in weights.items():
        file = root / "results" / owner / "real_pairs" / "summary.csv"
        if file.is_file():
            summary = pd.read_csv(file)
            table = real_pairs_table(summary, titles)
            table["Images"] = _shares(summary)
            parts += [f"**{label}**\n", markdown(table)]
        else:
            parts.append(f"{label}: not scored yet; `{command}` needs a folder of pairs.\n")
    (target / "real_pairs.md").write_text("\n".join(parts), encoding="utf-8")


def _shares(scored: pd.DataFrame) -> list[str]:
    """Return the number of images, and of how many where some of a published set are missing."""
    shares = []
    for row in scored.itertuples():
        published = PUBLISHED.get(str(row.benchmark).removesuffix("_sample"))
        whole = published.expected("benchmark", "") if published else None
        complete = whole is None or whole == row.images
        shares.append(str(row.images) if complete else f"{row.images} of {whole}")
    return shares


def _write_table(path: Path, table: pd.DataFrame) -> None:
    path.write_text(markdown(table), encoding="utf-8")
