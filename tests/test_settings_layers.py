"""What the layers of a settings file come to: profile, family, task, variant."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import pytest
import yaml
from settings_files import MINIMAL, load

from eamamba import paths
from eamamba.cli.settings import as_file
from eamamba.config import (
    EAMambaSettings,
    EAMambaSRSettings,
    MambaSettings,
    SettingsError,
    TaskSettings,
    load_settings,
    merge,
    resolved,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _no_profile_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EAMAMBA_PROFILE", raising=False)


def test_tasks_differ_from_their_profile_in_what_they_say(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL)
    plain, other = settings.task("denoise_gaussian"), settings.task("derain")
    assert plain.model == EAMambaSettings(dim=16, mamba_cfg=MambaSettings(d_state=4))
    assert other.model.mamba_cfg == MambaSettings(d_state=4, scan_count=4)
    assert other.data.benchmarks == {"Rain100L": "data/Rain100L"}  # replaced, not added to
    assert other.training == plain.training


def test_profile_is_chosen_by_argument_then_environment_then_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = copy.deepcopy(MINIMAL)
    for name in ("laptop", "paper"):
        tree["profiles"][name] = tree["profiles"]["smoke"]
    assert load(tmp_path, tree).profile == "smoke"
    monkeypatch.setenv("EAMAMBA_PROFILE", "laptop")
    assert load(tmp_path, tree).profile == "laptop"
    assert load(tmp_path, tree, "paper").profile == "paper"


def test_a_task_says_once_what_it_is(tmp_path: Path) -> None:
    tree = copy.deepcopy(MINIMAL)
    tree["tasks"] = {
        "denoise_gaussian": {"model": {"dim": 32, "mamba_cfg": {"scan_count": 4}}},
        "derain": {"data": {"degradation": "rain"}, "evaluation": {"protocol": {"colour": "y"}}},
    }
    settings = load(tmp_path, tree)
    plain, other = settings.task("denoise_gaussian"), settings.task("derain")
    expected = EAMambaSettings(dim=32, mamba_cfg=MambaSettings(d_state=4, scan_count=4))
    assert plain.model == expected  # the task over the profile's shared settings
    assert other.data.degradation == "rain"
    assert other.evaluation.protocol.colour == "y"
    tree["profiles"]["smoke"]["tasks"]["denoise_gaussian"] = {"model": {"dim": 24}}
    expected = expected.model_copy(update={"dim": 24})
    assert load(tmp_path, tree).task("denoise_gaussian").model == expected
    del tree["profiles"]["smoke"]["tasks"]
    assert list(load(tmp_path, tree).tasks) == ["denoise_gaussian", "derain"]


def test_a_task_takes_from_its_family_and_from_what_is_published(tmp_path: Path) -> None:
    tree = copy.deepcopy(MINIMAL)
    tree["families"] = {
        "weather": {
            "evaluation": {"protocol": {"colour": "y", "border": 1}},
            "published": {"training": {"learning_rate": 2.0e-4, "constant_iterations": 7}},
        }
    }
    tree["tasks"]["derain"] = {
        "family": "weather",
        "title": "rain",
        "evaluation": {"protocol": {"border": 2}},
        "published": {"training": {"learning_rate": 3.0e-4}, "data": {"layout": "pairs"}},
    }
    rain = load(tmp_path, tree).task("derain")
    assert (rain.title, rain.family, rain.data.layout) == ("rain", "weather", "photographs")
    assert (rain.evaluation.protocol.colour, rain.evaluation.protocol.border) == ("y", 2)
    assert load(tmp_path, tree).task("denoise_gaussian").title == "denoise gaussian"
    profile = tree["profiles"]["smoke"]
    profile |= {"published": True, "families": {"weather": {"training": {"seed": 5}}}}
    recipe = load(tmp_path, tree).task("derain").training
    assert (recipe.learning_rate, recipe.constant_iterations, recipe.seed) == (3e-4, 7, 5)
    assert load(tmp_path, tree).task("derain").data.layout == "pairs"
    profile["families"] = {"wether": {}}
    with pytest.raises(SettingsError, match=r"no family 'wether' .did you mean 'weather'"):
        load(tmp_path, tree)
    profile["families"] = {}
    tree["tasks"]["derain"]["family"] = "wether"
    with pytest.raises(SettingsError, match=r"tasks.derain.family: no family 'wether'"):
        load(tmp_path, tree)


def test_a_profile_of_ones_own_is_accepted(tmp_path: Path) -> None:
    tree = copy.deepcopy(MINIMAL)
    tree["profiles"]["workstation"] = tree["profiles"].pop("smoke")
    settings = load(tmp_path, tree, "workstation")
    assert (settings.profile, settings.task("derain").profile) == ("workstation", "workstation")


def test_resolved_settings_are_all_that_decides_results(tmp_path: Path) -> None:
    task = load(tmp_path, MINIMAL).task("derain")
    values = yaml.safe_load(resolved(task))
    assert "workers" not in values["data"]
    assert "checkpoint_every" not in values["training"]
    assert TaskSettings.model_validate(values) == task


def test_another_architecture_takes_nothing_from_the_first(tmp_path: Path) -> None:
    tree = copy.deepcopy(MINIMAL)
    light = {"model": {"architecture": "eamambasr"}, "data": {"degradation": "bicubic_x2"}}
    tree["tasks"] = {"denoise_gaussian": {}, "derain": light}
    tree["profiles"]["smoke"]["tasks"]["derain"] = {"model": {"num_blocks": [1]}}
    model = load(tmp_path, tree).task("derain").model
    assert model == EAMambaSRSettings(num_blocks=(1,))


def test_ablations_change_one_task(tmp_path: Path) -> None:
    tree = copy.deepcopy(MINIMAL)
    tree["ablations"] = {
        "variants": {
            "whole": {"title": "the whole"},
            "no_gate": {"model": {"mamba_cfg": {"disable_z_branch": True}}},
        },
    }
    plain = load(tmp_path, tree).task("denoise_gaussian")
    assert load(tmp_path, tree).ablation("whole").training == plain.training
    tree["profiles"]["smoke"]["ablations"] = {"training": {"learning_rate": 1.0e-2}}
    settings = load(tmp_path, tree)
    for name in ("whole", "no_gate"):
        variant = settings.ablation(name)
        assert variant.training.learning_rate == 1e-2
        assert variant.training.stages == plain.training.stages
    assert settings.ablation("whole").model == plain.model
    assert settings.ablation("no_gate").model.mamba_cfg.disable_z_branch
    with pytest.raises(SettingsError, match=r"no ablation 'no_gates'.*did you mean 'no_gate'"):
        settings.ablation("no_gates")
    assert settings.ablation("whole").title == "the whole"


def test_merge_leaves_its_arguments_alone() -> None:
    base, changes = {"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}
    assert merge(base, changes) == {"a": {"b": 3, "c": 2}}
    assert (base, changes) == ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})


def test_the_written_settings_tell_the_weights_to_start_from(tmp_path: Path) -> None:
    packaged = load_settings(ROOT / "params.yaml", "laptop").task("derain")
    file = paths.PRETRAINED / f"{packaged.training.initial_weights}.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert yaml.safe_load(as_file(packaged))["initial_weights_sha256"] == digest
    own = tmp_path / "mine.pth"
    for content in (b"a", b"b"):
        own.write_bytes(content)
        recipe = packaged.training.model_copy(update={"initial_weights": str(own)})
        values = yaml.safe_load(as_file(packaged.model_copy(update={"training": recipe})))
        assert values["initial_weights_sha256"] == hashlib.sha256(content).hexdigest()
    recipe = packaged.training.model_copy(update={"initial_weights": None})
    values = yaml.safe_load(as_file(packaged.model_copy(update={"training": recipe})))
    assert values["initial_weights_sha256"] is None


def test_profiles_share_a_network_by_its_name(tmp_path: Path) -> None:
    tree = copy.deepcopy(MINIMAL)
    tree["networks"] = {"small": {"dim": 8, "num_blocks": [1, 1, 1, 1]}}
    tree["profiles"]["smoke"]["model"] = "small"
    named = load(tmp_path, tree)
    tree["profiles"]["smoke"]["model"] = tree["networks"]["small"]
    assert named == load(tmp_path, tree)
    tree["profiles"]["smoke"]["model"] = "smal"
    with pytest.raises(SettingsError, match=r"profiles\.smoke\.model: no network 'smal'.*'small'"):
        load(tmp_path, tree)
