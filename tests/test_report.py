"""Tables and figures: from hand-made results whose answers can be told by looking."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from results_by_hand import PAPER, ROOT, counted, means

from eamamba import report
from eamamba.report.photographs import psnr_db

COMPLEXITY = pd.read_csv(ROOT / "data" / "paper" / "complexity.csv")


GAINS = {"sigma50": (6, 8, 10), "sigma25": (1, 5, 3)}


@pytest.fixture
def per_image() -> pd.DataFrame:
    rows = [
        ("zebras", name, condition, 20.0, 20.0 + gain, 0.5, 0.8)
        for condition, gains in GAINS.items()
        for name, gain in zip("abc", gains, strict=True)
    ]
    rows.append(("apes", "d", "sigma25", 20.0, 21.0, 0.4, 0.6))
    columns = ["benchmark", "image", "condition", "psnr_input_db", "psnr_db", "ssim_input", "ssim"]
    return pd.DataFrame(rows, columns=columns)


TITLES = {
    "denoise_gaussian": "Gaussian noise",
    "deblur_defocus": "defocus, one view",
    "derain": "rain",
    "new": "new",
    "new_task": "new task",
}
METRICS = {
    "zebras": {"sigma25": means(3), "sigma50": means(8)},
    "apes": {"sigma25": means(1, images=1)},
}


def test_scores_lay_the_metrics_out() -> None:
    table = report.scores(METRICS)
    assert table["benchmark"].tolist() == ["zebras", "zebras", "apes"]  # the file's order
    assert table["condition"].tolist() == ["sigma25", "sigma50", "sigma25"]
    assert table["images"].tolist() == [3, 3, 1]
    np.testing.assert_allclose(table["gain_db"], [3, 8, 1])


def test_scores_refuse_holes() -> None:
    with pytest.raises(ValueError, match="infinite"):
        report.scores({"zebras": {"all": means(1) | {"psnr_db": None}}})
    with pytest.raises(ValueError, match="no scores"):
        report.scores({"zebras": {}})


def test_score_table_keeps_ours_and_the_papers_apart() -> None:
    measured = {"laptop profile": METRICS, "big one": {"Kodak24": {"sigma25": means(1, images=1)}}}
    table = report.score_table(measured, PAPER, "denoise_gaussian")
    ours = table[table["Source"] == "measured here"]
    theirs = table[table["Source"] == "reported by the paper"]
    assert len(ours) + len(theirs) == len(table)
    assert set(ours["Images"]) == {"zebras", "apes", "Kodak24"}
    assert set(theirs["Images"]) == {"CBSD68", "Kodak24", "McMaster", "Urban100"}
    kodak = theirs.set_index("Images").loc["Kodak24"]
    printed = PAPER.query("benchmark == 'Kodak24' and setting == 'sigma25'")["psnr_db"].item()
    assert kodak["σ = 25: PSNR, dB"] == f"{printed:.2f}"
    restored = ours[ours["Picture"] == "EAMamba, laptop profile"].set_index("Images")
    assert restored.loc["zebras", "σ = 25: PSNR, dB"] == "23.00"
    assert restored.loc["apes", "σ = 50: PSNR, dB"] == "–"
    together = table[table["Images"] == "Kodak24"]
    assert together["Picture"].tolist() == [
        "input, 1 images", "EAMamba, big one", "EAMamba, full size",
    ]  # fmt: skip
    assert (together.index.to_numpy() == np.arange(3) + together.index[0]).all()
    assert not any("SSIM" in column for column in table), "the paper prints PSNR alone"


def test_score_tables_fit_every_kind_of_test() -> None:
    whole = report.score_table({"x": {"zebras": {"all": means(2)}}}, PAPER, "sr_real_x3")
    assert list(whole)[3:] == ["PSNR, dB", "SSIM"]
    printed = PAPER.query("task == 'sr_real_x3'").iloc[0]
    assert whole.iloc[-1]["PSNR, dB"] == f"{printed['psnr_db']:.2f}"
    assert whole.iloc[-1]["SSIM"] == f"{printed['ssim']:.3f}"
    parts = {"DPDD": {name: means(2) for name in ("combined", "indoor", "outdoor")}}
    defocus = report.score_table({"x": parts}, PAPER, "deblur_defocus")
    assert "–" not in defocus.to_numpy()
    unpublished = report.score_table({"x": {"zebras": {"all": means(2)}}}, PAPER, "derain")
    assert unpublished["Source"].tolist() == ["measured here"] * 2


def test_glance_takes_the_condition_that_stands_for_all() -> None:
    three = {"sigma15": means(1), "sigma25": means(2), "sigma50": means(3)}
    parts = {"combined": means(4), "indoor": means(5), "outdoor": means(6)}
    whole = {"all": means(-0.5)}
    tests = {"denoise_gaussian": three, "deblur_defocus": parts, "new_task": whole}
    rows = report.glance(
        {task: {"zebras": test, "apes": whole} for task, test in tests.items()}, TITLES
    )
    assert rows["condition"].tolist() == ["sigma25", "combined", "all"]
    table = report.glance_table(rows, dict.fromkeys(tests, "RGB PSNR and SSIM"))
    assert table["Degradation"].tolist() == [
        "Gaussian noise, σ = 25", "defocus, one view, combined", "new task",
    ]  # fmt: skip
    assert table["Gain, dB"].tolist() == ["+2.00", "+4.00", "−0.50"]


def test_trainings_are_compared_on_the_same_inputs_only() -> None:
    short = {task: {"zebras": {"all": means(1)}} for task in ("derain", "new_task", "other")}
    other_inputs = means(2) | {"psnr_input_db": 21.0}
    longer = {"derain": {"zebras": {"all": means(3)}}, "new_task": {"z": {"all": other_inputs}}}
    titles = TITLES | {"derain": "rain", "other": "other"}
    table = report.longer_training_table(
        report.glance(short, titles), report.glance(longer, titles)
    )
    assert table["Degradation"].tolist() == ["rain"]
    assert table["Gain, dB"].tolist() == ["+1.00"]
    assert table["Gain of the longer training, dB"].tolist() == ["+3.00"]


def test_pick_names_best_median_worst(per_image: pd.DataFrame) -> None:
    assert report.pick(per_image.query("benchmark == 'zebras'"), "sigma25") == {
        "best": "b", "median": "c", "worst": "a",
    }  # fmt: skip
    assert report.pick(per_image.query("image == 'd'"), "sigma25") == {"best": "d"}
    parts = per_image.query("condition == 'sigma50'").assign(
        condition=["indoor", "outdoor", "indoor"]
    )
    assert report.pick(parts, "combined") == {"best": "c", "median": "b", "worst": "a"}
    with pytest.raises(ValueError, match="no image under 'sigma30'; conditions: sigma50, sigma25"):
        report.pick(per_image, "sigma30")


def test_complexity_tables_pair_ours_with_the_right_source() -> None:
    headline = report.headline_table(counted(), COMPLEXITY)
    assert headline["Source"].tolist() == ["counted here", "reported by the paper"] * 2
    printed = COMPLEXITY.query("source == 'reported'").set_index("network")["gflops"]
    assert headline["GFLOPs"].tolist() == [
        "100.0", f"{printed['eamamba']:g}", "100.0", f"{printed['baseline_2dssm']:g}",
    ]  # fmt: skip
    variants = report.complexity_table(counted(), COMPLEXITY)
    # the laptop profile is not in the paper
    assert variants["Network"].tolist() == ["EAMamba", "baseline 2DSSM (8 scans added)"]
    assert (variants["Parameters, M"] == "25.321").all()


def test_markdown_aligns_numbers_and_escapes_bars() -> None:
    table = pd.DataFrame({"name": ["a|b", "c"], "x": ["1.5", "–"], "y": [-2, 3]})
    header, rule, first, _ = report.markdown(table).splitlines()
    assert header == "| name | x | y |"
    assert rule == "|---|---:|---:|"
    assert first == r"| a\|b | 1.5 | -2 |"


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
    scores = {"psnr_input_db": 20.0, "psnr_db": 26.0}
    restored = (noisy + clean) / 2
    return SimpleNamespace(name="a", clean=clean, degraded=noisy, restored=restored, scores=scores)


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
        "psnr": report.psnr_by_condition(report.scores(METRICS)),
        "glance": report.gains(
            report.glance({"derain": METRICS, "new": METRICS}, TITLES), "x profile"
        ),
        "gain": report.gain_per_image(per_image),
        "sizes": report.complexity_by_size(sizes),
        "kinds": report.complexity_by_kind(kinds),
        "sheet": report.contact_sheet({"a": example().clean}),
        "degradation": report.degradation(example().clean, {"σ = 25": example().degraded}),
        "comparison": report.comparison({"best": example(), "worst": example()}, "sigma25"),
        "erf": report.receptive_field({"centre": np.eye(8), "corner": np.eye(8)}),
        "paths": report.scan_paths({"raster": order, "reversed": order[::-1]}, 4, 4),
        "summary": report.summary(example(), "sigma25", report.scores(METRICS), "laptop profile"),
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


def test_pictures_carry_the_scores_of_the_protocol() -> None:
    drawn = report.comparison({"best": example()}, "sigma25")
    titles = [axes.get_title() for axes in drawn.axes]
    assert titles[:3] == ["input, σ = 25: 20.00 dB", "restored: 26.00 dB", "truth"]
    whole = report.summary(example(), "all", report.scores({"x": {"all": means(6)}}), "y")
    assert [axes.get_title() for axes in whole.axes][:2] == [
        "input: 20.00 dB",
        "restored: 26.00 dB",
    ]
