"""Tables of how time and memory scale.

Every function takes the measurements of ``benchmarks/growth_cpu.py`` (``growth_cpu.csv``: seconds
and MiB) and returns text cells, ready to print.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eamamba.report.tables import format_columns

_SMALLEST_FITTED_SIDE = 128
"""Smallest image side at which the cost of launching operators is negligible."""
# study in growth_cpu.csv -> the column that varies
_COLUMN_OF_STUDY = {
    "batch": "batch",
    "heads": "heads",
    "threads": "threads",
    "layout": "layout",
    "precision": "precision",
    "checkpointing": "recomputed",
}


def sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Return time and memory of each network at each image size."""
    wide = _growth_with_pixels(table)
    wide["ns_per_pixel"] = 1e9 * wide["seconds_forward"] / wide["side"] ** 2
    columns = {
        "network": ("network", ""),
        "side": ("image side", ".0f"),
        "seconds_forward": ("forward, s", ".3f"),
        "ns_per_pixel": ("forward, ns per pixel", ".0f"),
        "peak_memory_mib_forward": ("peak memory, MiB", ".0f"),
        "step_over_forward": ("training step / forward", ".1f"),
        "peak_memory_mib_training": ("peak memory in training, MiB", ".0f"),
    }
    return format_columns(wide, columns)


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Fit seconds = a · pixels^exponent to the larger sizes; an exponent of 1 is linear."""
    rows = []
    for network, part in _growth_with_pixels(table).groupby("network", sort=False):
        large = part[part["side"] >= _SMALLEST_FITTED_SIDE]
        logs = [np.log(large[name].to_numpy(float)) for name in ("side", "seconds_forward")]
        exponent = np.polyfit(2 * logs[0], logs[1], 1)[0]
        sides = f"{large['side'].min()} to {large['side'].max()}"
        rows.append({"network": network, "sides": sides, "exponent": exponent})
    columns = {
        "network": ("network", ""),
        "sides": ("image sides", ""),
        "exponent": ("exponent of the pixels", ".2f"),
    }
    return format_columns(pd.DataFrame(rows), columns)


def blocks(table: pd.DataFrame) -> pd.DataFrame:
    """Return the time of one block at each level of the U-Net."""
    wide = _forward_beside_training(table, "block", ["level", "side"])
    wide["map_side"] = wide["side"] // 2 ** (wide["level"] - 1)
    wide["milliseconds"] = 1e3 * wide["seconds_forward"]
    columns = {
        "side": ("image side", ".0f"),
        "level": ("level", ".0f"),
        "map_side": ("map side", ".0f"),
        "milliseconds": ("forward, ms", ".1f"),
        "step_over_forward": ("training step / forward", ".1f"),
    }
    return format_columns(wide, columns)


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Compare the cases of each study with its first case."""
    rows = []
    for study, column in _COLUMN_OF_STUDY.items():
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
    return format_columns(pd.concat(rows, ignore_index=True), columns)


def _forward_beside_training(table: pd.DataFrame, study: str, index: list[str]) -> pd.DataFrame:
    """Put the forward passes and training steps of one study side by side."""
    kept = table[table["study"] == study]
    wide = kept.pivot(index=index, columns="training")
    wide.columns = [f"{name}_{'training' if step else 'forward'}" for name, step in wide.columns]
    wide["step_over_forward"] = wide["seconds_training"] / wide["seconds_forward"]
    return wide.loc[kept[index[0]].unique()].reset_index()


def _growth_with_pixels(table: pd.DataFrame) -> pd.DataFrame:
    return _forward_beside_training(table, "pixels", ["network", "side"])
