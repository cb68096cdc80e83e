"""What the book includes: sections, tables and figures, from hand-made results."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from pages import ResultsError, write_pages
from results_by_hand import PAPER, ROOT, counted, means
from runs import runs
from task_pages import NOT_PRINTED

from eamamba.cards import shipped_cards
from eamamba.config import Settings, load_settings, resolved
from eamamba.report import protocol_label

PLACEHOLDER = r"\b(TASK|TITLE|PROFILE|PROTOCOL|COMPARISON|REPORTED|RUNS)\b"


def test_pages_say_which_stage_is_missing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ResultsError, match=r"lacks profiling/complexity.csv.*dvc repro"):
        write_pages(tmp_path, tmp_path / "pages")


def write_results(root: Path) -> None:
    """Write what the pages need of every task and variant of the laptop profile."""
    for name in ("params.yaml", "data", "book"):
        (root / name).symlink_to(ROOT / name)
    results = root / "results" / "laptop"
    chosen = load_settings(ROOT / "params.yaml", "laptop")
    table = {
        "split": "training",
        "image": ["a", "cid22_1001682.webp"],
        "height": 1,
        "width": 1,
        "sha256": "x",
    }
    credit = {"credit": ["B", None], "licence": ["CC0", None], "source": ["https://c", None]}
    manifest = pd.DataFrame(table | credit)
    test = {"sigma15": means(1), "sigma25": means(3), "sigma50": means(8)}
    for task in chosen.tasks:
        (results / task).mkdir(parents=True)
        for use in ("training", "test"):
            manifest.to_csv(results / task / f"{use}_images.csv", index=False)
        measured = test if task == "denoise_gaussian" else {"all": means(2)}
        text = json.dumps({"held-out photographs": measured})
        (results / task / "metrics.json").write_text(text)
        images = {"image": ["a", "b"], "psnr_input_db": [20.0, 44.0], "psnr_db": [25.0, 40.0]}
        pd.concat(
            pd.DataFrame({"benchmark": "held-out photographs", "condition": condition} | images)
            for condition in measured
        ).to_csv(results / task / "per_image.csv", index=False)
        (results / task / "settings.yaml").write_text(resolved(chosen.task(task)))
    write_variants(results, chosen)
    longer = root / "results" / "pretrained" / "derain"
    longer.mkdir(parents=True)
    (longer / "metrics.json").write_text(json.dumps({"held-out photographs": {"all": means(4)}}))
    write_results_of_no_task(results)
    write_executed_notebooks(results, chosen)
    (results / "denoise_gaussian" / "model.safetensors").touch()
    evidence = Path("results", "pretrained", "real_pairs", "summary.csv")
    (root / evidence).parent.mkdir(parents=True)
    shutil.copyfile(ROOT / evidence, root / evidence)


def write_variants(results: Path, chosen: Settings) -> None:
    costs = pd.DataFrame(
        {"size": ["laptop", "paper"], "parameters": [2e6, 25e6], "gflops": [3, 99]}
    )
    for number, variant in enumerate(chosen.ablations):
        folder = results / "ablations" / variant
        folder.mkdir(parents=True)
        costs.to_csv(folder / "complexity.csv", index=False)
        sizes = {
            f"{side} pixels": {f"seed {seed}": means(3 - number + seed / 10) for seed in range(3)}
            for side in (64, 128, 256)
        }
        (folder / "metrics.json").write_text(json.dumps(sizes))
        (folder / "settings.yaml").write_text(resolved(chosen.ablation(variant)))


def write_executed_notebooks(results: Path, chosen: Settings) -> None:
    for run in runs(chosen):
        text = nbformat.writes(new_notebook(cells=[new_markdown_cell("# A run")]))
        (results / f"{run.notebook}.ipynb").write_text(text, encoding="utf-8")


def write_results_of_no_task(results: Path) -> None:
    for name in "protocols ablation_fields profiling scan_orders photographs pictures".split():
        (results / name).mkdir(parents=True)
    counted().to_csv(results / "profiling" / "complexity.csv", index=False)
    by_size = pd.DataFrame({"model": "EAMamba", "size": [32, 64], "gflops": [1.0, 4.0]})
    by_size.to_csv(results / "profiling" / "complexity_by_size.csv", index=False)
    (results / "scan_orders" / "all_around.png").touch()
    steps = {"pattern": ["raster", "diagonal"], "scan": "eight heads", "size": 16}
    distances = pd.DataFrame(steps | {"mean_steps": [7.77, 1], "most_steps": [15, 1]})
    distances.to_csv(results / "scan_orders" / "neighbour_steps.csv", index=False)
    change = {"psnr_change_db": [-0.01, -0.03], "ssim_change": [0, -0.001]}
    rounded = pd.DataFrame({"scale": 2, "protocol": "Y, rounded"} | change)
    rounded.to_csv(results / "protocols" / "differences.csv", index=False)
    seen = {"network": ["EAMamba"], "state": ["trained"], "position": ["centre"]}
    areas = pd.DataFrame(seen | {"share": [0.5], "area_ratio": [0.0625]})
    areas.to_csv(results / "ablation_fields" / "areas.csv", index=False)
    (results / "photographs" / "training.jpg").touch()
    (results / "pictures" / "pictures.csv").touch()


def test_pages_bring_tables_and_figures_for_the_text(tmp_path: Path) -> None:
    write_results(tmp_path)
    package = tmp_path / "results" / "pretrained" / "denoise_gaussian"
    package.mkdir(parents=True)
    both = {name: {"sigma25": means(9)} for name in ("held-out photographs", "CBSD68")}
    (package / "metrics.json").write_text(json.dumps(both))

    text = write_pages(tmp_path, tmp_path / "pages")

    longer = (tmp_path / "pages" / "longer_training.md").read_text(encoding="utf-8")
    assert "| rain | +2.00 | +1.00 to +3.00 | +4.00 | +3.00 to +5.00 |" in longer
    assert text["denoise_gaussian_gain_sigma25"] == text["denoise_gaussian_gain"] == "+3.00"
    assert text["derain_after"] == "22.00"
    assert text["eamamba_parameters_m"] == "25.32"
    assert text["gflops_saved_percent"] == "0"
    assert text["paper_dim"] == "64"
    pages = tmp_path / "pages"
    assert not (pages / "denoise_gaussian" / "model.safetensors").exists()
    steps = (pages / "scan_orders" / "neighbour_steps.md").read_text(encoding="utf-8")
    assert "| raster | eight heads | 7.8 (15) |" in steps
    rounded = (pages / "protocols" / "differences.md").read_text(encoding="utf-8")
    assert "| ×2 | Y, rounded | −0.020 (−0.030 to −0.010) |" in rounded
    headline = (pages / "profiling" / "headline.md").read_text(encoding="utf-8")
    assert "| EAMamba | counted here | 25.3 | 100.0 |" in headline
    credited = (pages / "photographs" / "credits.md").read_text(encoding="utf-8")
    assert "[B](https://c), CC0" in credited
    assert "| CID22 (Cloudinary Image Dataset 2022) | CC BY-SA 4.0 |" in credited
    assert "1001682.png](https://cloudinary.com/labs/cid22), CC BY-SA 4.0" in credited
    scores = (pages / "denoise_gaussian" / "all_scores.md").read_text(encoding="utf-8")
    assert "| CBSD68 | EAMamba, weights in the package | measured here |" in scores
    assert scores.count("| held-out photographs |") == 2, "other crops of the same stay out"
    assert "learning_rate" in (pages / "denoise_gaussian" / "settings.yaml").read_text()


def test_the_cards_of_all_weights_are_shown(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_pages(tmp_path, tmp_path / "pages")
    shown = (tmp_path / "pages" / "models.md").read_text(encoding="utf-8")
    for card in shipped_cards().values():
        assert f"\n## {card.name}\n" in shown
        assert card.sha256 in shown


def test_every_task_gets_its_section_with_its_protocol(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_pages(tmp_path, tmp_path / "pages")
    for task, chosen in load_settings(ROOT / "params.yaml", "laptop").tasks.items():
        section = (tmp_path / "pages" / task / "section.md").read_text(encoding="utf-8")
        assert protocol_label(chosen.evaluation.protocol) in section
        assert f"results/{task}/all_scores.md" in section
        assert not re.search(PLACEHOLDER, section)
        assert f"results/{task}/evaluate.ipynb" in section
        assert (NOT_PRINTED in section) == (task not in set(PAPER["task"]))


def test_a_chapter_opens_with_the_failure_as_well_as_the_success(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_pages(tmp_path, tmp_path / "pages")
    chapters = tmp_path / "pages" / "chapters"
    opening = (chapters / "defocus.md").read_text(encoding="utf-8")
    assert "20.0 → 25.0 dB (+5.00), at worst 44.0 → 40.0 dB (−4.00)" in opening
    assert [line.split(".")[0] for line in opening.splitlines() if line.startswith("- ")] == [
        "- **Defocus, one view",
        "- **Defocus, dual pixel",
    ]
    assert not re.search(PLACEHOLDER, opening)
    sections = {
        task: (tmp_path / "pages" / task / "section.md").read_text(encoding="utf-8")
        for task in ("deblur_defocus", "deblur_defocus_dual")
    }
    shown = [text.count("comparison.jpg") for text in (opening, *sections.values())]
    assert shown == [1, 0, 1], "each comparison once"


def test_what_the_paper_reports_on_other_images_stands_apart(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_pages(tmp_path, tmp_path / "pages")
    folder = tmp_path / "pages" / "deblur_motion"
    assert "reported by the paper" not in (folder / "all_scores.md").read_text(encoding="utf-8")
    assert "| HIDE |" in (folder / "reported.md").read_text(encoding="utf-8")
    assert "results/deblur_motion/reported.md" in (folder / "section.md").read_text("utf-8")


def test_real_pairs_show_what_was_scored_and_say_what_was_not(tmp_path: Path) -> None:
    write_results(tmp_path)
    folder = tmp_path / "results" / "pretrained" / "real_pairs"
    row = {"task": "derain", "benchmark": "Rain100H", "condition": "all", "worse": 1}
    pd.DataFrame([means(-0.25, 20) | row]).to_csv(folder / "summary.csv", index=False)
    write_pages(tmp_path, tmp_path / "pages")
    text = (tmp_path / "pages" / "real_pairs.md").read_text(encoding="utf-8")
    assert "`eamamba real-pairs --profile laptop` needs a folder" in text
    assert "| rain | Rain100H | 20 of 100 | 20.00 | 19.75 | −0.25 | −1.25 to +0.75 | 1 |" in text


def test_ablation_tables_compare_with_the_network_itself(tmp_path: Path) -> None:
    write_results(tmp_path)
    write_pages(tmp_path, tmp_path / "pages")
    folder = tmp_path / "pages" / "ablations"
    _, _, *rows = (folder / "module.md").read_text(encoding="utf-8").splitlines()
    assert "| 22.10 (−1.00 ± 0.18) |" in rows[0]  # the baseline, second of the variants
    assert "| 23.10 |" in rows[2]
    text = (folder / "module_finding.md").read_text(encoding="utf-8")
    assert "256×256" in text
    assert "worse than EAMamba: *2DSSM baseline* (−1.00 ± 0.18 dB)" in text
    assert "| EAMamba | trained | centre | 6.25 |" in (folder / "areas.md").read_text()
    assert "33.00" in (folder / "module_reported.md").read_text(encoding="utf-8")
    assert not (folder / "gate_reported.md").exists()
    for name in ("difference_by_cost", "difference_by_size"):
        assert (folder / f"{name}.png").stat().st_size > 1000
    assert (tmp_path / "pages" / "glance.png").stat().st_size > 1000
