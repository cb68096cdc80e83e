"""Tables for the book's chapter on speed, from the CSV files written by the benchmark scripts."""

from __future__ import annotations

from pathlib import Path

import growth_tables as growth
import pandas as pd

from eamamba.report.tables import format_columns

_SMALLEST_SHOWN_SHARE = 0.01
# backend -> its heading
_BACKENDS = {"triton": "ours", "mamba_ssm": "mamba_ssm"}


def speed_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the table of each benchmark whose CSV is in ``folder``, ready to print.

    Parameters
    ----------
    folder : Path
        ``results/benchmarks``.

    Returns
    -------
    dict of DataFrame
        Tables by name, with text cells.
    """
    makers = {
        "scan_cpu": ("scan_cpu", _scan_cpu),
        "scan_cpu_rivals": ("scan_cpu", _scan_cpu_rivals),
        "network_cpu": ("network_cpu", _network_cpu),
        "growth_cpu": ("growth_cpu", growth.sizes),
        "block_cpu": ("growth_cpu", growth.blocks),
        "growth_exponents": ("growth_cpu", growth.exponents),
        "growth_ratios": ("growth_cpu", growth.ratios),
        "operators_cpu": ("operators_cpu", _operators),
        "large_photo": ("large_image_cpu", _large_photo),
        "large_image_cpu": ("large_image_cpu", _large_image),
        "onnx_files": ("onnx_cpu", _onnx_files),
        "onnx_cpu": ("onnx_cpu", _onnx),
        "loading_cpu": ("loading_cpu", _loading),
        "rehearsal_cpu": ("rehearsal_cpu", _rehearsal),
        "network_browser": ("network_browser", _network_browser),
        "scan_gpu": ("scan_gpu", _scan_gpu),
        "network_gpu": ("network_gpu", _network_gpu),
    }
    return {
        name: make(pd.read_csv(folder / f"{source}.csv"))
        for name, (source, make) in makers.items()
        if (folder / f"{source}.csv").is_file()
    }


def processor(folder: Path) -> dict[str, str]:
    """Return name and threads of the measured CPU, and the other hardware's names, for the text."""
    names = {}
    if (folder / "network_cpu.csv").is_file():
        measured = pd.read_csv(folder / "network_cpu.csv").iloc[-1]
        names = {"cpu": measured["processor"], "cpu_threads": f"{measured['threads']:.0f}"}
    if (folder / "network_browser.csv").is_file():
        measured = pd.read_csv(folder / "network_browser.csv").iloc[-1]
        names["network_browser_cpu"] = measured["processor"]
    for benchmark in ("scan_gpu", "network_gpu"):
        if (folder / f"{benchmark}.csv").is_file():
            devices = pd.read_csv(folder / f"{benchmark}.csv")["device"].unique()
            names[f"{benchmark}_device"] = " and ".join(devices)
    return names


def _scan_cpu(table: pd.DataFrame) -> pd.DataFrame:
    """Put the orders side by side: reading through an order should cost almost nothing."""
    table["scan"] = table["scan"].str.replace("x", "×")
    table[["forward_over_mm_floor", "forward_share_of_copy_bandwidth"]] *= 100
    kept = table[table["forward_updates_per_ns"].notna()]
    wide = kept.pivot(index=["threads", "scan"], columns="order")
    # sizes in the order of the network, then the sum over its scans
    order = kept.drop_duplicates(["threads", "scan"]).set_index(["threads", "scan"]).index
    wide = wide.reindex(order).reset_index()
    wide.columns = ["_".join(filter(None, name)) for name in wide.columns]
    columns = {
        "threads": ("threads", ".0f"),
        "scan": ("scan", ""),
        "forward_ms_raster": ("raster, ms", ".1f"),
        "forward_ms_diagonal": ("diagonal, ms", ".1f"),
        "forward_updates_per_ns_diagonal": ("updates per ns", ".1f"),
        "forward_share_of_copy_bandwidth_diagonal": ("copy bandwidth, %", ".0f"),
        "forward_backward_over_forward_diagonal": ("with backward / forward", ".1f"),
        "forward_over_mm_floor_diagonal": ("forward / products, %", ".0f"),
    }
    return format_columns(wide, columns)


def _scan_cpu_rivals(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many times slower plain PyTorch is."""
    table["scan"] = table["scan"].str.replace("x", "×")
    columns = {
        "threads": ("threads", ".0f"),
        "scan": ("scan", ""),
        "forward_scaled_loop_over_ours": ("loop / ours, forward", ".0f"),
        "forward_backward_scaled_loop_over_ours": ("loop / ours, with backward", ".0f"),
        "forward_chunked_over_ours": ("chunked / ours, forward", ".0f"),
        "forward_backward_chunked_over_ours": ("chunked / ours, with backward", ".0f"),
    }
    return format_columns(table[table["forward_chunked_over_ours"].notna()], columns)


def _network_cpu(table: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "size": ("image side", ".0f"),
        "threads": ("threads", ".0f"),
        "mm_gmacs_per_s": ("torch.mm, GFLOP/s", ".0f"),
        "floor_s": ("products alone, s", ".2f"),
        "forward_s": ("forward, s", ".2f"),
        "forward_over_floor": ("forward / products", ".2f"),
        "training_step_over_forward": ("training step / forward", ".1f"),
    }
    return format_columns(table, columns)


def _operators(table: pd.DataFrame) -> pd.DataFrame:
    kept = table[table["share"] >= _SMALLEST_SHOWN_SHARE].copy()
    kept["share"] *= 100
    kept["milliseconds"] = 1e3 * kept["seconds"]
    columns = {
        "pass": ("pass", ""),
        "side": ("image side", ".0f"),
        "operator": ("operator", ""),
        "calls": ("calls", ".0f"),
        "milliseconds": ("ms", ".0f"),
        "share": ("share, %", ".1f"),
    }
    return format_columns(kept, columns)


def _large_photo(table: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "what": ("photograph", ""),
        "seconds": ("s", ".0f"),
        "peak_memory_mib": ("peak memory of the process, MiB", ".0f"),
    }
    return format_columns(table[table["study"] == "large photo"], columns)


def _large_image(table: pd.DataFrame) -> pd.DataFrame:
    kept = table[table["study"] != "large photo"].copy()
    kept["change_db"] = kept["psnr_db"] - kept["psnr_whole_db"]
    kept["ratio"] = kept["seconds"] / kept.groupby("study")["seconds"].transform("first")
    columns = {
        "what": ("how", ""),
        "ratio": ("time / first", ".2f"),
        "psnr_db": ("RGB PSNR, dB", ".3f"),
        "change_db": ("change, dB", "+.3f"),
        "mean_difference_255": ("mean difference, 8-bit units", ".3f"),
        "largest_difference_255": ("largest difference, 8-bit units", ".1f"),
    }
    return format_columns(kept, columns)


def _onnx_files(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each weights file, with the largest difference at any size."""
    kept = table.assign(millions=table["parameters"] / 1e6)
    rows = kept.groupby("weights", as_index=False, sort=False).max()
    columns = {
        "weights": ("weights", ""),
        "millions": ("parameters, M", ".2f"),
        "onnx_mb": ("ONNX, MB", ".1f"),
        "half_mb": ("in half precision, MB", ".1f"),
        "largest_difference": ("difference", ".1e"),
    }
    return format_columns(rows, columns)


def _onnx(table: pd.DataFrame) -> pd.DataFrame:
    """Return the times of one weights file per network, on which alone they depend."""
    kept = table.drop_duplicates(["parameters", "side"])
    columns = {
        "weights": ("weights", ""),
        "side": ("image side", ".0f"),
        "ours_s": ("ours, s", ".3f"),
        "onnx_s": ("onnxruntime, s", ".3f"),
        "onnx_over_ours": ("onnxruntime / ours", ".1f"),
    }
    return format_columns(kept, columns)


def _loading(table: pd.DataFrame) -> pd.DataFrame:
    """Compare reading a batch with computing it."""
    kept = table.assign(milliseconds=1e3 * table["patch_s"])
    columns = {
        "patches": ("patches", ""),
        "workers": ("loader processes", ".0f"),
        "milliseconds": ("a patch, ms", ".1f"),
        "batch_s": (f"a batch of {table['batch'].iloc[0]}, s", ".2f"),
        "share": ("of a step on the CPU, %", ".2f"),
    }
    kept["share"] = 100 * kept["batch_s"] / kept["step_s"]
    if "device" in kept:
        columns["gpu_share"] = (f"of a step on one {kept['device'].iloc[0]}, %", ".0f")
        kept["gpu_share"] = 100 * kept["batch_s"] / kept["device_step_s"]
    return format_columns(kept, columns)


def _rehearsal(table: pd.DataFrame) -> pd.DataFrame:
    """Sum up the stages of each task."""
    table["recomputed"] *= 100
    tasks = table.groupby("task", sort=False)
    extremes = {
        "stages": ("stage", "count"),
        "smallest": ("patch", "min"),
        "largest": ("patch", "max"),
        "at_once": ("micro_batch", "min"),
        "recomputed": ("recomputed", "max"),
        "peak_gib": ("peak_gib", "max"),
        "days": ("days", "sum"),
    }
    columns = {
        "task": ("task", ""),
        "stages": ("stages", ".0f"),
        "smallest": ("smallest patch", ".0f"),
        "largest": ("largest patch", ".0f"),
        "at_once": ("fewest images at a time", ".0f"),
        "recomputed": ("most blocks recomputed, %", ".0f"),
        "peak_gib": ("peak memory, GiB", ".1f"),
        "days": ("days on this CPU", ",.0f"),
    }
    return format_columns(tasks.agg(**extremes).reset_index(), columns)


def _network_browser(table: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "photo": ("photograph", ""),
        "weights": ("weights", ""),
        "workers": ("workers", ".0f"),
        "seconds_per_megapixel": ("s per MP", ".1f"),
        "over_one_worker": ("× faster than one", ".2f"),
        "longest_block_ms": ("longest pause, ms", ".0f"),
        "peak_mb": ("peak memory, MB", ".0f"),
    }
    return format_columns(table, columns)


def _per_backend(table: pd.DataFrame, index: list[str], value: str) -> pd.DataFrame:
    """Put the backends side by side for each pass, with the speed-up of ours."""
    wide = table.pivot(index=[*index, "pass"], columns="backend", values=value)
    wide = wide.reindex(columns=list(_BACKENDS)).rename(columns=_BACKENDS)
    wide["× faster"] = wide["mamba_ssm"] / wide["ours"]
    return wide.reset_index()


def _scan_gpu(table: pd.DataFrame) -> pd.DataFrame:
    """Show every shape once: those of an image's coarse levels recur in smaller images."""
    table["map"] = table["side"] // table["divisor"]
    keys = ["batch", "map", "head_channels"]
    table = table.drop_duplicates([*keys, "pass", "backend"])
    table["pass"] = table["pass"].replace({"training": "with backward"})
    times = _per_backend(table, keys, "device_ms")
    shares = _per_backend(table, keys, "share_of_copy_bandwidth")
    times["share"] = 100 * shares["ours"]
    wide = times.pivot(index=keys, columns="pass").reset_index()
    wide.columns = [", ".join(part for part in name if part) for name in wide.columns]
    columns = {
        "batch": ("batch", ".0f"),
        "map": ("map side", ".0f"),
        "head_channels": ("channels per head", ".0f"),
    }
    for which in ("forward", "with backward"):
        columns |= {
            f"ours, {which}": (f"{which}: ours, ms", ".3f"),
            f"mamba_ssm, {which}": (f"{which}: mamba_ssm and gathers, ms", ".3f"),
            f"× faster, {which}": (f"{which}: × faster", ".1f"),
        }
    columns["share, forward"] = ("forward: ours, copy bandwidth, %", ".0f")
    return format_columns(wide, columns)


def _network_gpu(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["batch", "side"]
    wide = _per_backend(table, keys, "ms").merge(
        _per_backend(table, keys, "captured_ms"),
        on=[*keys, "pass"],
        suffixes=("", ", captured"),
    )
    columns = {
        "batch": ("batch", ".0f"),
        "side": ("image side", ".0f"),
        "pass": ("pass", ""),
        "ours": ("ours, ms", ".0f"),
        "mamba_ssm": ("mamba_ssm, ms", ".0f"),
        "× faster": ("× faster", ".2f"),
        "ours, captured": ("ours, captured, ms", ".1f"),
        "mamba_ssm, captured": ("mamba_ssm, captured, ms", ".1f"),
        "× faster, captured": ("× faster, captured", ".2f"),
    }
    return format_columns(wide, columns)
