"""The variants of the ablation studies: what they are, what they cost, and that they train."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eamamba.config import EAMambaSettings, Settings, load_settings
from eamamba.profiling import baseline_2dssm, complexity
from eamamba.training import train

ROOT = Path(__file__).parents[1]
NET = EAMambaSettings()
MAMBA = NET.mamba_cfg
# Variant -> network of the cited complexities; the order of a scan costs nothing.
COSTS = dict.fromkeys(["all_around", "multi_head"], "eamamba")
COSTS |= {name: name for name in ("baseline_2dssm", "ffn", "gdfn", "no_gate")}
EXPECTED_CHANGES = {"all_around": 0, "baseline_2dssm": 2}


def settings(name: str) -> Settings:
    return load_settings(ROOT / "params.yaml", name)


@pytest.mark.parametrize("variant", COSTS)
def test_variants_of_the_paper_cost_what_the_authors_code_costs(variant: str) -> None:
    cited = pd.read_csv(ROOT / "data/paper/complexity.csv").set_index("network")
    measured = cited[cited["source"] == "measured on the original code"]
    cost = complexity(settings("paper").ablation(variant).model)
    expected = measured.loc[COSTS[variant]]
    assert cost.parameters / 1e6 == pytest.approx(expected["params_m"], abs=5e-4)
    assert cost.gflops == pytest.approx(expected["gflops"], abs=0.02)


def test_variants_are_the_network_with_one_change() -> None:
    paper = settings("paper")
    assert paper.ablation("all_around").model == EAMambaSettings()
    for variant_name, variant in paper.ablations.items():
        model = variant.model
        assert isinstance(model, EAMambaSettings)
        changed = [name for name, value in model.mamba_cfg if value != getattr(MAMBA, name)]
        changed += [name for name, value in model if value != getattr(NET, name)]
        changes = len(set(changed) - {"mamba_cfg"})
        assert changes == EXPECTED_CHANGES.get(variant_name, 1), variant_name
    raster = paper.ablation("multi_head").model
    assert isinstance(raster, EAMambaSettings)
    assert paper.ablation("baseline_2dssm").model == baseline_2dssm(raster)


@pytest.mark.parametrize("name", ["smoke", "laptop", "paper"])
def test_variants_are_trained_alike(name: str) -> None:
    chosen = settings(name)
    recipes = [variant.training for variant in chosen.ablations.values()]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert len(chosen.seeds) >= 3
    data = [variant.data for variant in chosen.ablations.values()]
    assert all(one == chosen.task("denoise_gaussian").data for one in data)
    assert set(chosen.studies) == {"module", "mixer", "gate"}
    assert set().union(*chosen.studies.values()) == set(chosen.ablations)


@pytest.mark.parametrize("variant", ["baseline_2dssm", "gdfn", "no_gate"])
def test_variants_train(variant: str, tmp_path: Path) -> None:
    smoke = settings("smoke").ablation(variant)
    stage = smoke.training.stages[0].model_copy(update={"iterations": 1})
    recipe = smoke.training.model_copy(update={"stages": (stage,)})
    smoke = smoke.model_copy(update={"training": recipe})
    assert train(smoke, tmp_path, progress=False) is not None
