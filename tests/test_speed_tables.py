"""The tables of the speed chapter say what the CSV files hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from speed_charts import growth as growth_chart
from speed_charts import save_speed_charts, scan_rivals
from speed_tables import processor, speed_tables

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"


def test_backends_stand_side_by_side(tmp_path: Path) -> None:
    rows = [
        {"batch": 1, "side": 256, "divisor": 2, "head_channels": 16, "pass": p, "backend": b}
        | {"device_ms": ms, "share_of_copy_bandwidth": 0.1 / ms}
        for p, b, ms in (
            ("forward", "triton", 0.5),
            ("forward", "mamba_ssm", 1.25),
            ("training", "triton", 2.0),
        )
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "scan_gpu.csv", index=False)
    table = speed_tables(tmp_path)["scan_gpu"]
    (shape,) = table.to_dict("records")
    assert shape["map side"] == "128"
    assert shape["forward: ours, ms"] == "0.500"
    assert shape["with backward: ours, ms"] == "2.000"
    assert shape["forward: × faster"] == "2.5"
    assert shape["with backward: × faster"] == "–"
    assert shape["forward: ours, copy bandwidth, %"] == "20"


def test_a_shape_of_several_images_is_shown_once(tmp_path: Path) -> None:
    rows = [
        {"batch": 1, "side": side, "divisor": divisor, "head_channels": 16, "pass": "forward"}
        | {"backend": backend, "device_ms": ms, "share_of_copy_bandwidth": 0.1}
        for side, divisor, ms in ((128, 1, 1.0), (256, 2, 1.1), (256, 1, 4.0))
        for backend in ("triton", "mamba_ssm")
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "scan_gpu.csv", index=False)
    table = speed_tables(tmp_path)["scan_gpu"]
    assert table["map side"].tolist() == ["128", "256"]
    assert table["forward: ours, ms"].tolist() == ["1.000", "4.000"]


def test_the_text_names_the_hardware_of_the_files(tmp_path: Path) -> None:
    assert processor(tmp_path) == {}
    measured = pd.DataFrame({"device": ["NVIDIA H200", "NVIDIA H200"]})
    measured.to_csv(tmp_path / "network_gpu.csv", index=False)
    assert processor(tmp_path) == {"network_gpu_device": "NVIDIA H200"}


def test_captured_passes_stand_beside_eager_ones(tmp_path: Path) -> None:
    rows = [
        {"batch": 1, "side": 256, "pass": p, "backend": b, "ms": ms, "captured_ms": captured}
        for p, b, ms, captured in (
            ("forward", "triton", 60.0, 16.0),
            ("forward", "mamba_ssm", 58.0, 29.0),
            ("training step", "triton", 200.0, float("nan")),
            ("training step", "mamba_ssm", 210.0, float("nan")),
        )
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "network_gpu.csv", index=False)
    table = speed_tables(tmp_path)["network_gpu"]
    assert table["ours, ms"].tolist() == ["60", "200"]
    assert table["× faster"].tolist() == ["0.97", "1.05"]
    assert table["ours, captured, ms"].tolist() == ["16.0", "–"]
    assert table["mamba_ssm, captured, ms"].tolist() == ["29.0", "–"]
    assert table["× faster, captured"].tolist() == ["1.81", "–"]


ELSEWHERE = {
    "best_filter",
    "candidates",
    "claims_cpu",
    "openmp_waiting",
    "simulation",
}
"""Measurements that the chapter on speed does not show."""


@pytest.mark.parametrize("name", sorted({path.stem for path in RESULTS.glob("*.csv")} - ELSEWHERE))
def test_every_committed_benchmark_has_a_table(name: str) -> None:
    table = speed_tables(RESULTS)[name]
    assert len(table) > 0
    for column in table:
        assert (table[column] != "–").any(), f"{column}: nothing but dashes"


def growth() -> pd.DataFrame:
    """Two networks of which one is linear in the pixels, and two layouts."""
    base = {"batch": 1, "heads": 8, "threads": 0, "precision": "float32", "layout": "ordered"}
    base |= {"recomputed": 0.0, "peak_memory_mib": 100.0}
    rows = [
        base
        | {"study": "pixels", "network": network, "side": side, "training": False}
        | {"seconds": side**power / 1e6}
        for network, power in (("paper", 2), ("square", 4))
        for side in (64, 128, 256, 512)
    ]
    rows.append(rows[0] | {"training": True, "seconds": 3 * rows[0]["seconds"]})
    rows += [
        base | {"study": "layout", "network": "paper", "side": 256, "training": False}
        | {"layout": layout, "seconds": seconds}
        for layout, seconds in (("ordered", 2.0), ("permuting", 3.0))
    ]  # fmt: skip
    rows += [
        rows[0] | {"study": "block", "level": 3, "training": training, "seconds": seconds}
        | {"side": 256}
        for training, seconds in ((False, 0.02), (True, 0.05))
    ]  # fmt: skip
    rows += [
        rows[0] | {"study": "batch", "batch": batch, "seconds": seconds}
        for batch, seconds in ((1, 1.0), (4, 2.0))
    ]
    return pd.DataFrame(rows)


def test_growth_is_told_by_exponents_and_ratios(tmp_path: Path) -> None:
    growth().to_csv(tmp_path / "growth_cpu.csv", index=False)
    tables = speed_tables(tmp_path)
    assert tables["growth_exponents"]["exponent of the pixels"].tolist() == ["1.00", "2.00"]
    assert tables["growth_exponents"]["image sides"].unique().tolist() == ["128 to 512"]
    sizes = tables["growth_cpu"]
    assert sizes["network"].tolist() == ["paper"] * 4 + ["square"] * 4
    assert sizes["training step / forward"].tolist()[:2] == ["3.0", "–"]
    (block,) = tables["block_cpu"].to_dict("records")
    assert block["map side"] == "64"
    assert block["forward, ms"] == "20.0"
    assert block["training step / forward"] == "2.5"
    ratios = tables["growth_ratios"].set_index("case")
    assert ratios.loc["permuting", "/ first case"] == "1.50"
    assert ratios.loc["4", "/ first case"] == "0.50", "per image"


def test_reading_is_compared_with_computing(tmp_path: Path) -> None:
    rows = [
        {"patches": "decoded", "workers": 0, "patch_s": 0.5, "batch_s": 32.0},
        {"patches": "from tiles", "workers": 2, "patch_s": 0.002, "batch_s": 0.064},
    ]
    table = pd.DataFrame(rows).assign(batch=64, step_s=128.0)
    table.to_csv(tmp_path / "loading_cpu.csv", index=False)
    shown = speed_tables(tmp_path)["loading_cpu"]
    assert shown["a patch, ms"].tolist() == ["500.0", "2.0"]
    assert shown["of a step on the CPU, %"].tolist() == ["25.00", "0.05"]
    assert not [name for name in shown if "one" in name]
    with_gpu = table.assign(device="GPU X", device_step_s=0.8)
    with_gpu.to_csv(tmp_path / "loading_cpu.csv", index=False)
    shown = speed_tables(tmp_path)["loading_cpu"]
    assert shown["of a step on one GPU X, %"].tolist() == ["4000", "8"]


def test_the_stages_of_a_task_are_summed_up(tmp_path: Path) -> None:
    stages = {"stage": [1, 2], "patch": [128, 256], "micro_batch": [8, 2], "recomputed": [0, 0.5]}
    table = pd.DataFrame(stages | {"peak_gib": [9.0, 11.0], "days": [1000.0, 500.0]})
    table.assign(task="derain").to_csv(tmp_path / "rehearsal_cpu.csv", index=False)
    shown = speed_tables(tmp_path)["rehearsal_cpu"]
    assert shown.iloc[0].tolist() == ["derain", "2", "128", "256", "2", "50", "11.0", "1,500"]


def test_two_workers_are_compared_with_one(tmp_path: Path) -> None:
    row = {"photo": "2048×1024", "weights": "compact_denoiser", "tile": 376, "processor": "CPU X"}
    row |= {"longest_block_ms": 75.4, "peak_mb": 386.1}
    rows = [
        row | {"workers": 1, "seconds": 11.0, "seconds_per_megapixel": 5.5},
        row | {"workers": 2, "seconds": 5.5, "seconds_per_megapixel": 2.75, "over_one_worker": 2.0},
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "network_browser.csv", index=False)
    shown = speed_tables(tmp_path)["network_browser"]
    assert shown["s per MP"].tolist() == ["5.5", "2.8"]
    assert shown["× faster than one"].tolist() == ["–", "2.00"]
    assert processor(tmp_path) == {"network_browser_cpu": "CPU X"}


def test_tiles_are_compared_with_the_whole(tmp_path: Path) -> None:
    rows = [
        {"study": "large photo", "what": "4000×3000", "seconds": 90, "peak_memory_mib": 2000},
        {"study": "tiles", "what": "whole", "seconds": 2.0, "psnr_db": 30.0},
        {"study": "tiles", "what": "tiles of 128", "seconds": 3.0, "psnr_db": 29.9},
    ]
    table = pd.DataFrame(rows).assign(psnr_whole_db=30.0)
    table = table.assign(mean_difference_255=0.1, largest_difference_255=2.0)
    table.to_csv(tmp_path / "large_image_cpu.csv", index=False)
    tables = speed_tables(tmp_path)
    assert tables["large_photo"]["photograph"].tolist() == ["4000×3000"]
    assert tables["large_image_cpu"]["change, dB"].tolist() == ["+0.000", "-0.100"]
    assert tables["large_image_cpu"]["time / first"].tolist() == ["1.00", "1.50"]


def test_onnx_files_are_told_apart_and_networks_timed_once(tmp_path: Path) -> None:
    rows = [
        {"weights": name, "parameters": count, "onnx_mb": 5.1, "half_mb": 2.6, "side": side}
        | {"ours_s": ours, "onnx_s": 3 * ours, "onnx_over_ours": 3.0}
        | {"largest_difference": difference}
        for name, count, side, ours, difference in (
            ("derain", 1_240_000, 64, 0.025, 2e-7),
            ("derain", 1_240_000, 128, 0.1, 8e-7),
            ("denoise_gaussian", 4_270_000, 64, 0.06, 1e-7),
            ("dehaze_indoor", 1_240_000, 64, 0.025, 3e-7),
        )
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "onnx_cpu.csv", index=False)
    tables = speed_tables(tmp_path)
    files = tables["onnx_files"].set_index("weights")["difference"]
    assert files.to_dict() == {
        "derain": "8.0e-07",
        "denoise_gaussian": "1.0e-07",
        "dehaze_indoor": "3.0e-07",
    }
    times = tables["onnx_cpu"]
    assert times["weights"].tolist() == ["derain", "derain", "denoise_gaussian"]
    assert times["onnxruntime, s"].tolist() == ["0.075", "0.300", "0.180"]


def points(figure: Figure) -> dict[str, list[float]]:
    """The values of each line that the legend names."""
    lines = [line for axes in figure.axes for line in axes.lines]
    return {str(line.get_label()): [round(x, 6) for x in line.get_xdata()] for line in lines}


def test_plain_pytorch_stands_on_the_axis_of_the_kernel() -> None:
    scan = {"scan": "256x256, 8 heads of 8", "forward_ms": 2.0, "forward_backward_ms": 10.0}
    factors = {
        "forward_scaled_loop_over_ours": 100.0,
        "forward_chunked_over_ours": 30.0,
        "forward_backward_scaled_loop_over_ours": 50.0,
        "forward_backward_chunked_over_ours": 20.0,
    }
    slower = {name: value * 2 for name, value in factors.items()}
    table = pd.DataFrame([scan | slower | {"threads": 1}, scan | factors | {"threads": 2}, scan])
    drawn = points(scan_rivals(table))
    assert drawn["this project"] == [2, 10]
    assert drawn["loop in Python"] == [200, 500]
    assert drawn["chunked PyTorch"] == [60, 200]


def test_growth_is_drawn_for_each_network_and_pass() -> None:
    table = growth().replace({"network": {"square": "nano"}})
    drawn = points(growth_chart(table))
    assert drawn["the paper's network, forward"] == [64, 128, 256, 512]
    assert drawn["the paper's network, training step"] == [64]
    assert drawn["a small U-Net, forward"] == [64, 128, 256, 512]


def test_charts_are_saved_where_there_is_something_to_draw(tmp_path: Path) -> None:
    save_speed_charts(tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())
    save_speed_charts(RESULTS, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"growth.png", "scan_rivals.png"}
