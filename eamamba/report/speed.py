"""Tables of the speed chapter, from the CSV files that ``benchmarks/`` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

_LARGE = 128
"""Side from which on the cost of starting operators no longer counts."""
_SHOWN_SHARE = 0.01
# study of growth_cpu.csv -> what changes in it
_STUDIES = {
    "batch": "batch",
    "heads": "heads",
    "threads": "threads",
    "layout": "layout",
    "precision": "precision",
    "checkpointing": "recomputed",
}
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
        By name; text cells.
    """
    makers = {
        "scan_cpu": ("scan_cpu", _scan_cpu),
        "scan_cpu_rivals": ("scan_cpu", _scan_cpu_rivals),
        "network_cpu": ("network_cpu", _network_cpu),
        "growth_cpu": ("growth_cpu", _growth_cpu),
        "growth_exponents": ("growth_cpu", _growth_exponents),
        "growth_ratios": ("growth_cpu", _growth_ratios),
        "operators_cpu": ("operators_cpu", _operators),
        "large_photo": ("large_image_cpu", _large_photo),
        "large_image_cpu": ("large_image_cpu", _large_image),
        "scan_gpu": ("scan_gpu", _scan_gpu),
        "network_gpu": ("network_gpu", _network_gpu),
    }
    return {
        name: make(pd.read_csv(folder / f"{source}.csv"))
        for name, (source, make) in makers.items()
        if (folder / f"{source}.csv").is_file()
    }


def processor(folder: Path) -> dict[str, str]:
    """Return name and threads of the processor that was measured, if one was, for running text."""
    source = folder / "network_cpu.csv"
    if not source.is_file():
        return {}
    measured = pd.read_csv(source).iloc[-1]
    return {"cpu": measured["processor"], "cpu_threads": f"{measured['threads']:.0f}"}


def _formatted(table: pd.DataFrame, columns: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Choose, rename and format columns: name in the CSV -> heading, format of its numbers."""
    shown = {
        heading: [("–" if pd.isna(x) else format(x, form)) for x in table[name]]
        for name, (heading, form) in columns.items()
        if name in table
    }
    return pd.DataFrame(shown)


def _scan_cpu(table: pd.DataFrame) -> pd.DataFrame:
    """Put the orders side by side: reading through an order shall cost next to nothing."""
    table["scan"] = table["scan"].str.replace("x", "×")
    table[["forward_over_mm_floor", "forward_share_of_copy_bandwidth"]] *= 100
    kept = table[table["forward_updates_per_ns"].notna()]
    wide = kept.pivot(index=["threads", "scan"], columns="order")
    # the sum over the network's scans last, sizes as the network goes through them
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
    return _formatted(wide, columns)


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
    return _formatted(table[table["forward_chunked_over_ours"].notna()], columns)


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
    return _formatted(table, columns)


def _pixels(table: pd.DataFrame) -> pd.DataFrame:
    """Put forward pass and training step of each network and size side by side."""
    kept = table[table["study"] == "pixels"]
    wide = kept.pivot(index=["network", "side"], columns="training")
    wide.columns = [f"{name}_{'training' if step else 'forward'}" for name, step in wide.columns]
    return wide.loc[kept["network"].unique()].reset_index()


def _growth_cpu(table: pd.DataFrame) -> pd.DataFrame:
    wide = _pixels(table)
    wide["ns_per_pixel"] = 1e9 * wide["seconds_forward"] / wide["side"] ** 2
    wide["step_over_forward"] = wide["seconds_training"] / wide["seconds_forward"]
    columns = {
        "network": ("network", ""),
        "side": ("image side", ".0f"),
        "seconds_forward": ("forward, s", ".3f"),
        "ns_per_pixel": ("forward, ns per pixel", ".0f"),
        "peak_memory_mib_forward": ("peak memory, MiB", ".0f"),
        "step_over_forward": ("training step / forward", ".1f"),
        "peak_memory_mib_training": ("peak memory in training, MiB", ".0f"),
    }
    return _formatted(wide, columns)


def _growth_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Fit seconds = a · pixels^exponent to the larger sizes: 1 is linear."""
    rows = []
    for network, part in _pixels(table).groupby("network", sort=False):
        large = part[part["side"] >= _LARGE]
        logs = [np.log(large[name].to_numpy(float)) for name in ("side", "seconds_forward")]
        exponent = np.polyfit(2 * logs[0], logs[1], 1)[0]
        sides = f"{large['side'].min()} to {large['side'].max()}"
        rows.append({"network": network, "sides": sides, "exponent": exponent})
    columns = {
        "network": ("network", ""),
        "sides": ("image sides", ""),
        "exponent": ("exponent of the pixels", ".2f"),
    }
    return _formatted(pd.DataFrame(rows), columns)


def _growth_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Compare the cases of each study with its first."""
    rows = []
    for study, column in _STUDIES.items():
        for training, part in table[table["study"] == study].groupby("training"):
            work = part["batch"] if study == "batch" else 1
            seconds = part["seconds"] / work
            rows.append(
                pd.DataFrame(
                    {
                        "study": study if study != "batch" else "batch, per image",
                        "pass": "training step" if training else "forward",
                        "side": part["side"],
                        "case": part[column].map("{:g}".format)
                        if part[column].dtype.kind in "if"
                        else part[column],
                        "seconds": seconds,
                        "ratio": seconds / seconds.iloc[0],
                        "peak_memory_mib": part["peak_memory_mib"],
                    }
                )
            )
    columns = {
        "study": ("what changes", ""),
        "pass": ("pass", ""),
        "side": ("image side", ".0f"),
        "case": ("case", ""),
        "seconds": ("s", ".3f"),
        "ratio": ("/ first case", ".2f"),
        "peak_memory_mib": ("peak memory, MiB", ".0f"),
    }
    return _formatted(pd.concat(rows, ignore_index=True), columns)


def _operators(table: pd.DataFrame) -> pd.DataFrame:
    kept = table[table["share"] >= _SHOWN_SHARE].copy()
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
    return _formatted(kept, columns)


def _large_photo(table: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "what": ("photograph", ""),
        "seconds": ("s", ".0f"),
        "peak_memory_mib": ("peak memory of the process, MiB", ".0f"),
    }
    return _formatted(table[table["study"] == "large photo"], columns)


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
    return _formatted(kept, columns)


def _per_backend(table: pd.DataFrame, index: list[str], value: str) -> pd.DataFrame:
    """Put the backends side by side for each pass, with how many times faster ours is."""
    wide = table.pivot(index=[*index, "pass"], columns="backend", values=value)
    wide = wide.reindex(columns=list(_BACKENDS)).rename(columns=_BACKENDS)
    wide["× faster"] = wide["mamba_ssm"] / wide["ours"]
    return wide.reset_index()


def _scan_gpu(table: pd.DataFrame) -> pd.DataFrame:
    table["map"] = table["side"] // table["divisor"]
    keys = ["batch", "side", "map", "head_channels"]
    wide = _per_backend(table, keys, "device_ms")
    wide["share"] = 100 * _per_backend(table, keys, "share_of_copy_bandwidth")["ours"]
    wide["pass"] = wide["pass"].replace({"training": "with backward"})
    columns = {
        "batch": ("batch", ".0f"),
        "side": ("image side", ".0f"),
        "map": ("map side", ".0f"),
        "head_channels": ("channels per head", ".0f"),
        "pass": ("pass", ""),
        "ours": ("ours, ms", ".3f"),
        "mamba_ssm": ("mamba_ssm and gathers, ms", ".3f"),
        "× faster": ("× faster", ".1f"),
        "share": ("ours, copy bandwidth, %", ".0f"),
    }
    return _formatted(wide, columns)


def _network_gpu(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["batch", "side"]
    wide = _per_backend(table, keys, "ms").merge(
        _per_backend(table, keys, "device_ms"),
        on=[*keys, "pass"],
        suffixes=("", ", device"),
    )
    columns = {
        "batch": ("batch", ".0f"),
        "side": ("image side", ".0f"),
        "pass": ("pass", ""),
        "ours": ("ours, ms", ".0f"),
        "mamba_ssm": ("mamba_ssm, ms", ".0f"),
        "× faster": ("× faster", ".2f"),
        "ours, device": ("ours, device alone, ms", ".1f"),
        "mamba_ssm, device": ("mamba_ssm, device alone, ms", ".1f"),
        "× faster, device": ("× faster, device alone", ".2f"),
    }
    return _formatted(wide, columns)
