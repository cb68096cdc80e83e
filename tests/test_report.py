"""Tables and figures: from hand-made results whose answers can be told by looking."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from eamamba import report
from eamamba.report.pages import ResultsError, write_pages
from eamamba.report.photographs import psnr_db
from eamamba.report.tables import settings_table

ROOT = Path(__file__).parents[1]
PAPER = pd.read_csv(ROOT / "data" / "paper" / "paper_results.csv")
COMPLEXITY = pd.read_csv(ROOT / "data" / "paper" / "complexity.csv")


@pytest.fixture
def per_image() -> pd.DataFrame:
    rows = [
        ("zebras", name, sigma, 20.0, 20.0 + gain, 0.5, 0.8)
        for sigma, gains in ((50, (6, 8, 10)), (25, (1, 5, 3)))
        for name, gain in zip("abc", gains, strict=True)
    ]
    rows.append(("apes", "d", 25, 20.0, 21.0, 0.4, 0.6))
    columns = ["benchmark", "image", "sigma_255", "psnr_input_db", "psnr_db", "ssim_input", "ssim"]
    return pd.DataFrame(rows, columns=columns)


def test_mean_scores_averages_over_images(per_image: pd.DataFrame) -> None:
    scores = report.mean_scores(per_image)
    assert scores["benchmark"].tolist() == ["zebras", "zebras", "apes"]  # the file's order
    assert scores["sigma_255"].tolist() == [25, 50, 25]
    assert scores["images"].tolist() == [3, 3, 1]
    np.testing.assert_allclose(scores["psnr_db"], [23, 28, 21])
    np.testing.assert_allclose(scores["gain_db"], [3, 8, 1])


def test_mean_scores_refuses_holes(per_image: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="lacks ssim"):
        report.mean_scores(per_image.drop(columns="ssim"))
    per_image.loc[0, "psnr_db"] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        report.mean_scores(per_image)


def test_noise_table_keeps_ours_and_the_papers_apart(per_image: pd.DataFrame) -> None:
    theirs_too = per_image.query("benchmark == 'apes'").assign(benchmark="Kodak24")
    measured = {"laptop profile": per_image, "big one": theirs_too}
    table = report.noise_table(measured, PAPER)
    ours = table[table["Source"] == "measured here"]
    theirs = table[table["Source"] == "reported by the paper"]
    assert len(ours) + len(theirs) == len(table)
    assert set(ours["Images"]) == {"zebras", "apes", "Kodak24"}
    assert set(theirs["Images"]) == {"CBSD68", "Kodak24", "McMaster", "Urban100"}
    kodak = theirs.set_index("Images").loc["Kodak24"]
    printed = PAPER.query("benchmark == 'Kodak24' and setting == 'sigma25'")["psnr_db"].item()
    assert kodak["σ = 25, dB"] == f"{printed:.2f}"
    restored = ours[ours["Picture"] == "EAMamba, laptop profile"].set_index("Images")
    assert restored.loc["zebras", "σ = 25, dB"] == "23.00"
    assert restored.loc["apes", "σ = 50, dB"] == "–"
    together = table[table["Images"] == "Kodak24"]
    assert together["Picture"].tolist() == [
        "noisy input, 1 images", "EAMamba, big one", "EAMamba, full size",
    ]  # fmt: skip
    assert (together.index.to_numpy() == np.arange(3) + together.index[0]).all()


def test_pick_names_best_median_worst(per_image: pd.DataFrame) -> None:
    assert report.pick(per_image.query("benchmark == 'zebras'"), 25) == {
        "best": "b", "median": "c", "worst": "a",
    }  # fmt: skip
    assert report.pick(per_image.query("image == 'd'"), 25) == {"best": "d"}
    with pytest.raises(ValueError, match="no image at sigma 30"):
        report.pick(per_image, 30)


def counted(gflops: float = 100.0) -> pd.DataFrame:
    names = [*report.HEADLINE.values(), "laptop profile"]
    return pd.DataFrame({"variant": names, "size": 256, "parameters": 25_320_512, "gflops": gflops})


def test_complexity_tables_pair_ours_with_the_right_source() -> None:
    headline = report.headline_table(counted(), COMPLEXITY)
    assert headline["Source"].tolist() == ["counted here", "reported by the paper"] * 2
    printed = COMPLEXITY.query("source == 'reported'").set_index("variant")["gflops"]
    assert headline["GFLOPs"].tolist() == [
        "100.0", f"{printed['EAMamba']:g}", "100.0", f"{printed['baseline 2DSSM']:g}",
    ]  # fmt: skip
    variants = report.complexity_table(counted(), COMPLEXITY)
    assert len(variants) == 2  # the laptop profile is not in the paper
    assert (variants["Parameters, M"] == "25.321").all()


def test_markdown_aligns_numbers_and_escapes_bars() -> None:
    table = pd.DataFrame({"name": ["a|b", "c"], "x": ["1.5", "–"], "y": [-2, 3]})
    header, rule, first, _ = report.markdown(table).splitlines()
    assert header == "| name | x | y |"
    assert rule == "|---|---:|---:|"
    assert first == r"| a\|b | 1.5 | -2 |"


def test_settings_table_flattens() -> None:
    stages = [{"patch": 8, "batch": 2}, {"patch": 16, "batch": 1}]
    table = settings_table({"model": {"dim": 8, "scan": {"gate": True}}, "stages": stages})
    assert table["Setting"].tolist() == ["`model.dim`", "`model.scan.gate`", "`stages`"]
    assert table["Value"].tolist() == ["8", "yes", "patch 8, batch 2; patch 16, batch 1"]


def test_photograph_table_credits_everyone() -> None:
    manifest = pd.DataFrame(
        {
            "split": ["training", "Kodak24"], "image": ["a_cat", "kodim01"],
            "height": [2, 4], "width": [3, 5], "sha256": ["", ""], "credit": ["A. Body", None],
            "licence": ["CC0", None], "source": ["https://example.org", None],
        }
    )  # fmt: skip
    table = report.photograph_table(manifest)
    assert table["Photograph"].tolist() == ["a cat", "kodim01"]
    assert table["Pixels"].tolist() == ["3×2", "5×4"]
    assert table["By, licence"].tolist() == ["[A. Body](https://example.org), CC0", "–"]


def test_psnr_is_the_definition() -> None:
    clean = np.zeros((3, 4, 4), np.float32)
    assert psnr_db(clean + 0.1, clean) == pytest.approx(20, abs=1e-5)


def example() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    clean = rng.random((3, 16, 16), np.float32)
    noisy = clean + rng.normal(0, 0.1, clean.shape).astype(np.float32)
    return SimpleNamespace(name="a", clean=clean, degraded=noisy, restored=(noisy + clean) / 2)


def figures(per_image: pd.DataFrame) -> dict[str, Figure]:
    training = pd.DataFrame(
        {"iteration": [5, 10, 15], "loss": [0.3, 0.2, 0.1], "learning_rate": [1e-3, 1e-3, 1e-4],
         "patch": [32, 32, 64], "batch": [8, 8, 4]}
    )  # fmt: skip
    sizes = pd.DataFrame({"model": ["a", "a", "b"], "size": [32, 64, 32], "gflops": [1, 4, 2.0]})
    kinds = pd.DataFrame({"scan": [1.0, 2], "in_proj": [3.0, 3], "pooling": [0, 0]}, ["a", "b"])
    order = np.arange(16)
    return {
        "training": report.training_curve(training),
        "psnr": report.psnr_by_noise(per_image),
        "gain": report.gain_per_image(per_image),
        "sizes": report.complexity_by_size(sizes),
        "kinds": report.complexity_by_kind(kinds),
        "sheet": report.contact_sheet({"a": example().clean}),
        "degradation": report.degradation(example().clean, {"σ = 25": example().degraded}),
        "comparison": report.comparison({"best": example(), "worst": example()}),
        "erf": report.receptive_field({"centre": np.eye(8), "corner": np.eye(8)}),
        "paths": report.scan_paths({"raster": order, "reversed": order[::-1]}, 4, 4),
        "summary": report.summary(example(), 25, per_image, "laptop profile"),
    }


def test_degradation_scores_what_can_be_compared_with_the_clean_picture() -> None:
    clean = np.zeros((3, 8, 12), np.float32)
    steps = {"depth": clean[:1], "sampled": clean[:, :4, :6], "input: enlarged": clean + 0.1}
    figure = report.degradation(clean, steps)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["clean", "depth", "sampled\n6×4 pixels", "input: enlarged\n20.00 dB"]
    shapes = [axes.images[0].get_array().shape[:2] for axes in figure.axes]
    assert shapes == [(8, 12), (8, 12), (4, 6), (8, 12)]


def test_degradation_of_many_steps_takes_two_rows() -> None:
    clean = np.zeros((3, 8, 8), np.float32)
    for steps, rows in ((2, 1), (3, 1), (4, 2), (5, 2)):
        panels = report.degradation(clean, {str(step): clean + 0.1 for step in range(steps)}).axes
        assert {axes.get_subplotspec().rowspan.start for axes in panels} == set(range(rows))
        assert sum(len(axes.images) for axes in panels) == 1 + steps


def test_figures_are_the_same_bytes_every_time(per_image: pd.DataFrame, tmp_path: Path) -> None:
    first, again = figures(per_image), figures(per_image)
    for name in first:
        one, two = tmp_path / "1" / f"{name}.png", tmp_path / "2" / f"{name}.png"
        assert report.save(first[name], one) == str(one)
        report.save(again[name], two)
        assert one.read_bytes() == two.read_bytes(), name


def test_plots_name_their_axes_and_units(per_image: pd.DataFrame) -> None:
    drawn = figures(per_image)
    labels = {
        name: [axes.get_xlabel() for axes in drawn[name].axes if axes.get_xlabel()]
        + [axes.get_ylabel() for axes in drawn[name].axes if axes.get_ylabel()]
        for name in ("training", "psnr", "gain", "sizes", "kinds", "erf")
    }
    for name, unit in {"psnr": "dB", "gain": "dB", "kinds": "GFLOPs", "sizes": "pixels"}.items():
        assert any(unit in label for label in labels[name]), (name, labels[name])
    assert len(labels["training"]) == 3
    for name in ("sizes", "kinds"):  # every figure of FLOPs says how they are counted
        words = [text.get_text() for text in drawn[name].findobj() if hasattr(text, "get_text")]
        assert any("one multiply-add = 1 FLOP" in word for word in words), name


def test_pages_say_which_stage_is_missing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ResultsError, match=r"lacks profiling/complexity.csv.*dvc repro"):
        write_pages(tmp_path, tmp_path / "pages")


def test_pages_bring_tables_and_figures_for_the_text(
    per_image: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "data").symlink_to(ROOT / "data")
    results = tmp_path / "results" / "laptop"
    for name in ("profiling", "scan_orders", "denoise_gaussian"):
        (results / name).mkdir(parents=True)
    counted().to_csv(results / "profiling" / "complexity.csv", index=False)
    (results / "scan_orders" / "all_around.png").touch()
    (results / "denoise_gaussian" / "model.safetensors").touch()
    per_image.to_csv(results / "denoise_gaussian" / "per_image.csv", index=False)
    package = tmp_path / "results" / "pretrained" / "denoise_gaussian"
    package.mkdir(parents=True)
    of_package = pd.concat([per_image, per_image.iloc[-1:].assign(benchmark="CBSD68")])
    of_package.to_csv(package / "per_image.csv", index=False)
    table = {"split": ["training"], "image": ["a"], "height": [1], "width": [1], "sha256": [""]}
    manifest = pd.DataFrame(table | {"credit": ["B"], "licence": ["CC0"], "source": ["https://c"]})
    manifest.to_csv(results / "denoise_gaussian" / "data.csv", index=False)

    text = write_pages(tmp_path, tmp_path / "pages")

    assert text["denoise_gaussian_gain_25"] == "3.00"
    assert text["eamamba_parameters_m"] == "25.32"
    assert text["gflops_saved_percent"] == "0"
    assert text["paper_dim"] == "64"
    pages = tmp_path / "pages"
    assert not (pages / "denoise_gaussian" / "model.safetensors").exists()
    assert "| 64×" not in (pages / "profiling" / "headline.md").read_text(encoding="utf-8")
    assert "CC0" in (pages / "denoise_gaussian" / "photographs.md").read_text(encoding="utf-8")
    scores = (pages / "denoise_gaussian" / "all_scores.md").read_text(encoding="utf-8")
    assert "| CBSD68 | EAMamba, weights of the package | measured here |" in scores
    assert scores.count("| zebras |") == 2, "other crops of the same photographs stay out"
    assert "training.learning_rate" in (pages / "denoise_gaussian" / "settings.md").read_text()
