"""Every committed result has a maker: a stage of the pipeline, or a command written down here."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest
import yaml
from dvc.repo import Repo

ROOT = Path(__file__).parents[1]
MADE_WITHOUT_DVC = {
    "results/.gitignore": "written by hand: keeps weights and unfinished trainings out of git",
    "results/benchmarks/": "make benchmark, on the machines that the tables name",
    "results/pretrained/": "one training for each weights file: eamamba/pretrained/README.md",
}
"""File or folder -> where it comes from, of what no stage writes."""
REAL_PAIRS = re.compile(r"results/\w+/real_pairs/(per_image|summary)\.csv")
"""Written by `eamamba real-pairs` where there is a folder of pairs."""


def made_by_stages() -> set[str]:
    """Outputs of all stages, below the folder of the profile: DVC resolves that of params.yaml."""
    with Repo(str(ROOT)) as repo:
        outputs = [Path(out.fspath).relative_to(ROOT).parts for out in repo.index.outs]
    return {"/".join(parts[2:]) for parts in outputs if parts[0] == "results"}


def test_every_committed_result_is_an_output_of_a_stage() -> None:
    command = ["git", "ls-files", "-z", "results"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = [name for name in listed.split("\0") if (ROOT / name).is_file()]
    made = made_by_stages()
    by_stage = [
        name
        for name in tracked
        if not (name.startswith(tuple(MADE_WITHOUT_DVC)) or REAL_PAIRS.fullmatch(name))
    ]
    in_profile = {name: PurePosixPath(name.split("/", 2)[2]) for name in by_stage}
    orphans = [
        name
        for name, path in in_profile.items()
        if made.isdisjoint({str(path), str(path.parent)})  # a stage may write a whole folder
    ]
    assert by_stage, "no committed results of any stage"
    assert not orphans, f"no stage of dvc.yaml writes {orphans}: git rm them"


def test_what_is_made_without_dvc_exists() -> None:
    missing = [name for name in MADE_WITHOUT_DVC if not (ROOT / name).exists()]
    assert not missing, f"take {missing} out of MADE_WITHOUT_DVC"


def md5_in_lock() -> dict[str, str]:
    """Hash of every weights file that the pipeline wrote, by its path."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    outputs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outputs if out["path"].endswith(".safetensors")}


@pytest.mark.parametrize("profile", ["laptop", "pretrained"])
def test_real_pairs_were_scored_with_the_weights_there_are(profile: str) -> None:
    file = ROOT / "results" / profile / "real_pairs" / "summary.csv"
    if not file.is_file():
        pytest.skip(f"no real pairs were scored with the weights of {profile}")
    if profile == "pretrained":
        weights = (ROOT / "eamamba" / "pretrained").glob("*.safetensors")
        known = {path.stem: hashlib.md5(path.read_bytes()).hexdigest() for path in weights}
    else:
        known = {Path(path).parent.name: md5 for path, md5 in md5_in_lock().items()}
    scored = pd.read_csv(file).drop_duplicates("task").set_index("task")["weights_md5"]
    old = [task for task, md5 in scored.items() if known.get(str(task)) != md5]
    assert not old, f"{file} is of other weights for {old}: run eamamba real-pairs, or delete it"


@pytest.mark.parametrize("folder", ["results/laptop/derain", "results/laptop/ablations/gdfn"])
def test_what_watches_a_training_is_no_result(folder: str) -> None:
    names = ("best.safetensors", "model.400.safetensors", "training.log", "validation.csv")
    watched = [f"{folder}/{name}" for name in (*names, "validation.jpg", "tensorboard/events.0")]
    command = ["git", "check-ignore", "--no-index", *watched]
    ignored = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert ignored.splitlines() == watched
    with Repo(str(ROOT)) as repo:
        unseen = [name for name in watched if repo.dvcignore.is_ignored_file(str(ROOT / name))]
        assert unseen == watched
        assert not repo.dvcignore.is_ignored_file(str(ROOT / folder / "training.csv"))
        assert not repo.dvcignore.is_ignored_file(str(ROOT / folder / "model.safetensors"))
