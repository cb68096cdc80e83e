"""Profiling: the figures of the paper and of its authors' code, and laws."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
import torch

from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.profiling import (
    KINDS,
    PAPER_NETWORKS,
    ProfilingError,
    baseline_2dssm,
    complexity,
    complexity_by_size,
    layers,
    measure_memory,
)
from eamamba.profiling.measured import _forward_costs

COMPLEXITY = Path(__file__).parents[1] / "data/paper/complexity.csv"
with COMPLEXITY.open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))
MEASURED = {row["network"]: row for row in ROWS if row["source"].startswith("measured")}
# 16 channels or more in every head: one kernel to compile.
TINY = EAMambaSettings(
    dim=16,
    num_blocks=(1, 1, 1, 1),
    num_refinement_blocks=1,
    mamba_cfg=MambaSettings(scan_count=1, d_state=4),
)


def test_the_table_of_networks_covers_the_measured_rows() -> None:
    assert list(PAPER_NETWORKS) == list(MEASURED)


@pytest.mark.parametrize("name", MEASURED)
def test_parameters_and_gflops_are_those_of_the_authors_code(name: str) -> None:
    settings, size = PAPER_NETWORKS[name]
    counted, row = complexity(settings, size), MEASURED[name]
    assert row["input"] == f"{size}x{size}"
    assert counted.parameters / 1e6 == pytest.approx(float(row["params_m"]), abs=6e-4)
    assert counted.gflops == pytest.approx(float(row["gflops"]), rel=5e-4)


def test_two_and_four_heads_cost_the_same() -> None:
    costs = [
        complexity(EAMambaSettings(mamba_cfg=MambaSettings(scan_count=heads))).gflops
        for heads in (2, 4)
    ]
    assert costs[0] == costs[1]


def test_the_papers_model_costs_what_the_paper_says() -> None:
    counted = complexity(EAMambaSettings(), 256)
    assert counted.parameters == 25_320_512
    assert counted.gflops == pytest.approx(137.27, abs=0.02)
    assert counted.gflops == pytest.approx(sum(counted.gflops_by_kind.values()))
    by_kind = {
        "convolutions": 68.02,
        "in_proj": 31.68,
        "out_proj": 15.84,
        "x_proj+dt_proj": 5.45,
        "scan": 15.74,
        "out_norm": 0.54,
        "pooling": 0,
    }
    assert tuple(counted.gflops_by_kind) == tuple(by_kind) == KINDS
    assert counted.gflops_by_kind == pytest.approx(by_kind, abs=0.015)


@pytest.mark.parametrize("settings", [EAMambaSettings(), EAMambaSRSettings(upscale=3)])
def test_layers_add_up_to_the_network(settings: EAMambaSettings | EAMambaSRSettings) -> None:
    whole, parts = complexity(settings, 64), layers(settings, 64)
    names = {layer.name for layer in parts}
    outermost = [p for p in parts if not any(p.name.startswith(f"{name}.") for name in names)]
    assert len(outermost) < len(parts)
    assert sum(layer.parameters for layer in outermost) == whole.parameters
    assert sum(layer.gflops for layer in outermost) == pytest.approx(whole.gflops)
    assert all(layer.parameters >= 0 and layer.gflops >= 0 for layer in parts)
    stages = layers(settings, 64, depth=1)
    if isinstance(settings, EAMambaSettings):
        assert stages == [layer for layer in parts if "." not in layer.name]
        fused = 8 * 64 * 4 * 64 + 4 * 64 * 2 * 64  # weights that merge levels
        assert stages[-1].parameters == fused
        assert stages[-2].output == (1, 3, 64, 64)


def test_only_channel_attention_pools() -> None:
    blocks = {"dim": 16, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 0}
    attention = complexity(EAMambaSettings(**blocks, channel_mixer_type="cca"), 32)
    level = 16 * 32**2  # elements of the first level; each level down has half as many
    elements = level * (1 + 1 / 2 + 1 / 4 + 1 / 8 + 1 / 4 + 1 / 2 + 2)
    assert attention.gflops_by_kind["pooling"] * 1e9 == pytest.approx(elements)
    assert complexity(EAMambaSettings(**blocks), 32).gflops_by_kind["pooling"] == 0


def test_block_norms_count_nothing() -> None:
    with_bias, bias_free = (
        complexity(TINY.model_copy(update={"layernorm_type": kind}), 32)
        for kind in ("WithBias", "BiasFree")
    )
    assert with_bias.gflops == bias_free.gflops


def test_cost_is_linear_in_the_number_of_pixels() -> None:
    costs = complexity_by_size(EAMambaSettings(), (64, 256, 1024))
    assert [cost.size for cost in costs] == [64, 256, 1024]
    for small, large in itertools.pairwise(costs):
        assert large.gflops == pytest.approx(16 * small.gflops, rel=2e-3)
        assert large.parameters == small.parameters


def test_the_baseline_is_the_row_of_the_ablation() -> None:
    expected, _ = PAPER_NETWORKS["baseline_2dssm"]
    assert baseline_2dssm(EAMambaSettings()) == expected


def test_a_size_that_the_network_does_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        complexity(TINY, 100)
    assert complexity(EAMambaSRSettings(), 61).gflops > 0


def test_real_forward_passes_are_measured_in_a_process_of_their_own() -> None:
    costs = list(measure_memory(TINY, (128, 32), repeats=1))
    assert [cost.size for cost in costs] == [32, 128]
    assert all(cost.seconds > 0 for cost in costs)
    # the input, one first-level map and the output, at the very least
    assert costs[1].peak_mib > (3 + 2 * 16 + 3) * 128**2 * 4 / 2**20


def test_measuring_ends_before_memory_would() -> None:
    def sizes(limit_mib: float) -> list[int]:
        return [cost.size for cost in _forward_costs(TINY, [128, 512], "cpu", 1, limit_mib)]

    assert sizes(1) == [128]
    assert sizes(1e6) == [128, 512]


def test_a_failed_measurement_says_why() -> None:
    with pytest.raises(ProfilingError, match=r"cpu: ValueError: .*multiples of 8"):
        list(measure_memory(TINY, (36,)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_named() -> None:
    with pytest.raises(ProfilingError, match="'cuda': no CUDA device"):
        list(measure_memory(TINY, (32,), device="cuda"))
