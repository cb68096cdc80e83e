"""Settings are strict: what the file says is what runs, or one line says why not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from settings_files import MINIMAL, load

from eamamba.config import (
    EAMambaError,
    EAMambaSettings,
    EAMambaSRSettings,
    SettingsError,
    TaskSettings,
    load_settings,
    validate,
)

PARAMS = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture(autouse=True)
def _no_profile_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EAMAMBA_PROFILE", raising=False)


def changed(*path: Any, to: object) -> dict[str, Any]:
    """Return the minimal settings with one value of the smoke profile replaced or added."""
    tree = copy.deepcopy(MINIMAL)
    node = tree["profiles"]["smoke"]
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = to
    return tree


@pytest.mark.parametrize("profile", yaml.safe_load(PARAMS.read_text())["profiles"])
def test_every_profile_of_the_project_is_valid(profile: str) -> None:
    settings = load_settings(PARAMS, profile)
    assert settings.profile == profile
    for name, task in settings.tasks.items():
        assert (task.task, task.profile) == (name, profile)


def test_paper_profile_is_the_published_model() -> None:
    assert load_settings(PARAMS, "paper").task("denoise_gaussian").model == EAMambaSettings()


def test_settings_round_trip_through_json() -> None:
    task = load_settings(PARAMS, "laptop").task("denoise_gaussian")
    assert TaskSettings.model_validate_json(task.model_dump_json()) == task


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        EAMambaSettings().dim = 3  # type: ignore[misc]


def test_unread_spelling_is_an_error_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, changed("model", "LayerNorm_type", to="WithBias"))
    expected = "params.yaml: model.LayerNorm_type: no such setting (did you mean 'layernorm_type'?)"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("tasks", "derain", "model", "dimm"), 8, "tasks.derain.model.dimm: no such setting (did"),
        (("model", "dim"), "wide", "model.dim: got 'wide'; input should be a valid integer"),
        (("model", "dim"), 15, "model: expand x dim = 15 channels cannot be split"),
        (("model", "num_blocks"), [1, 1], "model.num_blocks"),
        (("model", "num_blocks"), [1, 1, 1, -1], "model.num_blocks.3: got -1"),
        (("model", "ffn_expansion_factor"), 0.01, "cannot be split in two halves"),
        (("model", "mamba_cfg", "scan_count"), 3, "model.mamba_cfg.scan_count: got 3"),
        (("model", "mamba_cfg", "d_conv"), 4, "d_conv must be odd"),
        (("model", "out_channels"), 1, "must be equal"),
        (("model",), [1], "model: got [1]"),
        (("model",), None, "model: got None"),
        (("training", "learning_rate"), -1, "training.learning_rate: got -1"),
        (("training", "stages"), [], "training.stages"),
        (("training",), {}, "training.stages: field required"),
        (("training", "stages"), [{"patch": 12, "batch": 1, "iterations": 1}], "multiple of 8"),
        (("data", "sigma"), 3, "data.sigma: no such setting (did you mean 'sigma_255'?)"),
        (("evaluation", "sigmas_255"), "x", "evaluation.sigmas_255: got 'x'"),
        (("trainning",), {}, "trainning: no such setting (did you mean 'training'?)"),
        (("tasks",), [1], "tasks: expected settings, got [1]"),
        (("tasks",), {"derain": 3}, "tasks.derain: expected settings, got 3"),
    ],
)
def test_wrong_settings_are_told_in_one_line(
    tmp_path: Path, path: tuple, value: object, message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, changed(*path, to=value))
    text = str(caught.value)
    assert text.startswith("params.yaml: ")
    assert message in text
    assert "\n" not in text
    assert text.count("model.dim:") <= 1  # said once, however many tasks share it


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected settings, got NoneType"),
        ("- 1", "expected settings, got list"),
        ("a: [", "not valid YAML"),
        ("profil: x", "profil: no such setting (did you mean 'profile'?)"),
        ("tasks: 3\nprofiles: {smoke: {tasks: {}}}\nprofile: smoke", "tasks: expected settings"),
        ("task: {}", "task: no such setting (did you mean 'tasks'?)"),
        ("1: x", "params.yaml: settings of another program"),
        ("train: {lr: 0.1}\nprepare: {split: 0.2}", "found train, prepare; expected profile"),
        ("{}", "found nothing"),
        ("profiles: 3", "profiles: expected settings, got 3"),
        ("profiles: {smoke: 3}\nprofile: smoke", "smoke: expected settings, got 3"),
        ("profile: [1]", "no profile '[1]'"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_misspelt_profile_is_recognised(tmp_path: Path) -> None:
    text = PARAMS.read_text().replace("profile: laptop", "profile: lptop", 1)
    with pytest.raises(SettingsError, match=r"no profile 'lptop' .did you mean 'laptop'"):
        load(tmp_path, text)


def test_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*No such file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not valid YAML"):
        load_settings(tmp_path / "params.yaml")


def test_unknown_task_is_suggested(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL)
    with pytest.raises(SettingsError, match=r"no task 'derian'.*did you mean 'derain'"):
        settings.task("derian")
    with pytest.raises(SettingsError, match="known: denoise_gaussian, derain"):
        settings.task("colourise")


def test_spellings_of_released_files_are_understood() -> None:
    values = {"channel_mixer_type": "Simple", "mamba_cfg": {"scan_type": None}}
    settings = validate(EAMambaSettings, values, "file")
    assert settings.channel_mixer_type == "simple"
    assert settings.mamba_cfg.scan_type == "raster"


def test_networks_are_told_apart() -> None:
    with pytest.raises(SettingsError, match="upscale: no such setting"):
        validate(EAMambaSettings, {"upscale": 2}, "file")
    with pytest.raises(SettingsError, match="file: upscale: got 5"):
        validate(EAMambaSRSettings, {"upscale": 5}, "file")
    assert issubclass(SettingsError, EAMambaError)
