"""A stage is stale exactly when a setting that it reads changed."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from picture_settings import picture_settings

from eamamba.cli.settings import as_file
from eamamba.config import load_settings

ROOT = Path(__file__).parents[1]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PER_TASK = ["data", "train", "evaluate", "receptive_field"]
ALL = {f"{stage}@{task}" for stage in PER_TASK for task in PARAMS["tasks"]}
VARIANTS = {f"ablation@{variant}" for variant in PARAMS["ablations"]["variants"]}


def of(*stages: str, task: str = "derain") -> set[str]:
    return {f"{stage}@{task}" for stage in stages}


def every(*stages: str) -> set[str]:
    return {name for name in ALL if name.split("@")[0] in stages}


SHOWN = {"pictures"}
"""The stage that shows the same photographs in every task."""
RAIN = "profiles.laptop.tasks.derain"
# What is set, to what, and which stages that makes stale by itself. A stage that reads what
# another writes runs after it, if that comes out differently.
CHANGES: list[tuple[str, Any, set[str]]] = [
    (f"{RAIN}.training.constant_iterations", 100, of("train")),
    (f"{RAIN}.training.learning_rate", 7e-4, of("train")),
    (f"{RAIN}.training.seed", 3, of("train", "receptive_field")),
    (f"{RAIN}.training.ema_decay", 0.9, of("train")),
    (f"{RAIN}.training.initial_weights", "a.pth", of("train", "receptive_field")),
    (f"{RAIN}.training.checkpoint_every", 7, set()),
    (f"{RAIN}.training.keep_last", 3, set()),
    (f"{RAIN}.training.validate_every", 7, set()),
    (f"{RAIN}.training.validation_images", 2, set()),
    (f"{RAIN}.data.workers", 3, set()),
    (f"{RAIN}.data.clear_share", 0.5, of("train")),
    (f"{RAIN}.data.pool", {"crops": 4, "size": 64}, of("train")),
    (f"{RAIN}.data.training_set", {"mine": "data/mine"}, of("data", "train")),
    (f"{RAIN}.data.benchmarks", {"a": "data/a"}, of("data", "evaluate", "receptive_field") | SHOWN),
    (f"{RAIN}.data.held_out_size", 128, of("evaluate", "receptive_field") | SHOWN),
    (f"{RAIN}.evaluation.self_ensemble", True, of("evaluate") | SHOWN),
    (f"{RAIN}.evaluation.protocol.border", 3, of("evaluate") | SHOWN),
    (f"{RAIN}.evaluation.receptive_field_size", 64, of("receptive_field")),
    (f"{RAIN}.model.dim", 32, of("train", "evaluate", "receptive_field")),
    ("tasks.derain.evaluation.protocol.colour", "rgb", of("evaluate") | SHOWN),
    ("tasks.derain.title", "drops", set()),
    ("tasks.derain.published.training.seed", 3, set()),
    ("families.dehaze.published.data.layout", "pairs", set()),
    ("profiles.paper.training.learning_rate", 7e-4, set()),
    (
        "networks.compact.dim",
        32,
        {
            name
            for name in every("train", "evaluate", "receptive_field")
            if not re.search("sr_light|dual", name)  # these have networks of their own
        },
    ),
    ("profiles.laptop.data.workers", 2, set()),
    ("profiles.laptop.training.checkpoint_every", 10, set()),
    ("profiles.laptop.training.weight_decay", 0.1, every("train") | VARIANTS),
    ("profiles.laptop.evaluation.self_ensemble", True, every("evaluate") | VARIANTS | SHOWN),
    (
        "profiles.laptop.families.dehaze.training.learning_rate",
        7e-4,
        of("train", task="dehaze_indoor") | of("train", task="dehaze_outdoor"),
    ),
    ("profiles.laptop.ablations.training.learning_rate", 7e-4, VARIANTS),
    ("ablations.variants.gdfn.training.seed", 5, {"ablation@gdfn"}),
    (
        "ablations.variants.all_around.model.dim",
        24,
        {"ablation@all_around", "ablation_fields", "profiling"},
    ),
    ("ablations.seeds", [0, 1], VARIANTS),
    ("ablations.variants.gdfn.title", "zig and zag", set()),
    ("profiles.paper.model.dim", 32, VARIANTS),
]


def with_change(path: str, value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(PARAMS)
    *groups, last = path.split(".")
    node = tree
    for key in groups:
        node = node.setdefault(key, {})
    node[last] = value
    return tree


def look_up(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree[key]
    return tree


def read_by_stages(tree: dict[str, Any], folder: Path) -> dict[str, list[Any]]:
    """Every stage's listed settings, in the laptop profile."""
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    settings = load_settings(file, "laptop")
    written = {
        f"results/laptop/{name}/settings.yaml": yaml.safe_load(as_file(one))
        for name, one in [
            *settings.tasks.items(),
            *((f"ablations/{name}", one) for name, one in settings.ablations.items()),
        ]
    }
    keys = {"${tasks}": settings.tasks, "${ablations.variants}": settings.ablations}
    read: dict[str, list[Any]] = {}
    for stage, what in STAGES.items():
        if stage == "book":  # shows everything
            continue
        for key in keys.get(what.get("foreach"), [""]):
            values = []
            for entry in what.get("do", what).get("params", []):
                if isinstance(entry, str):
                    values.append(look_up(tree, entry))
                    continue
                for path, names in entry.items():
                    content = written[path.replace("${profile}", "laptop").replace("${key}", key)]
                    values += [look_up(content, name) for name in names]
            read[f"{stage}@{key}".removesuffix("@")] = values
    read["pictures"].append(picture_settings(settings))
    return read


@pytest.mark.parametrize(("path", "value", "stale"), CHANGES, ids=[path for path, *_ in CHANGES])
def test_a_setting_makes_stale_what_reads_it(
    path: str, value: Any, stale: set[str], tmp_path: Path
) -> None:
    before = read_by_stages(PARAMS, tmp_path)
    after = read_by_stages(with_change(path, value), tmp_path)
    assert before.keys() == after.keys()
    assert {stage for stage in before if before[stage] != after[stage]} == stale


def dvc(folder: Path, *words: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_experiment_changes_one_task_and_drops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", ROOT.as_uri(), folder], check=True)
    for name in ("params.yaml", "dvc.yaml", "eamamba/cli", "eamamba/config"):  # as they are here
        subprocess.run(["cp", "-r", "-T", ROOT / name, folder / name], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-C", folder]
    subprocess.run([*git, "commit", "--quiet", "--all", "--message=now"], check=True)
    stages = ["settings@derain", "settings@denoise_real"]
    dvc(folder, "repro", *stages)
    before = {name: (folder / f"results/laptop/{name}/settings.yaml").read_text()
              for name in ("derain", "denoise_real")}  # fmt: skip
    change = "+profiles.laptop.tasks.derain.training.seed=3"
    dvc(folder, "exp", "run", "--set-param", change, *stages)
    after = {name: (folder / f"results/laptop/{name}/settings.yaml").read_text()
             for name in before}  # fmt: skip
    assert yaml.safe_load(after["derain"])["training"]["seed"] == 3
    assert after["denoise_real"] == before["denoise_real"]
    status = dvc(folder, "status", *stages)
    assert "up to date" in status
