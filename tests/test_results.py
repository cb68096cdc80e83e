"""Every committed result has a maker: a stage of the pipeline, or a command written down here."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dvc.repo import Repo

ROOT = Path(__file__).parents[1]
MADE_WITHOUT_DVC = {
    "results/.gitignore": "written by hand: keeps weights and unfinished trainings out of git",
    "results/benchmarks/": "make benchmark, on the machines that the tables name",
    "results/pretrained/": "one training for each weights file: eamamba/pretrained/README.md",
}
"""File or folder -> where it comes from, of what no stage writes."""


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
    by_stage = [name for name in tracked if not name.startswith(tuple(MADE_WITHOUT_DVC))]
    orphans = [name for name in by_stage if name.split("/", 2)[2] not in made]
    assert by_stage, "no committed results of any stage"
    assert not orphans, f"no stage of dvc.yaml writes {orphans}: git rm them"


def test_what_is_made_without_dvc_exists() -> None:
    missing = [name for name in MADE_WITHOUT_DVC if not (ROOT / name).exists()]
    assert not missing, f"take {missing} out of MADE_WITHOUT_DVC"
