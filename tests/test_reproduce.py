"""Running the pipeline on all cores: nothing left out, failures told, scores compared."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import reproduce
import yaml

from eamamba.config import load_settings

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("profile", ["smoke", "laptop"])
def test_every_stage_but_those_that_join_others_is_in_one_job(profile: str) -> None:
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    keys = {"${tasks}": params["tasks"], "${ablations.variants}": params["ablations"]["variants"]}
    expected = {
        f"{stage}@{key}".removesuffix("@")
        for stage, what in pipeline["stages"].items()
        for key in keys.get(what.get("foreach"), [""])
    }
    jobs = reproduce.jobs(load_settings(ROOT / "params.yaml", profile))
    stages = [stage for job in jobs for stage in job.stages]
    assert set(stages) == expected - {"sources", "ablation_fields", "book"}, (
        "the first and the last `dvc repro` run these"
    )
    assert len(stages) == len(set(stages))
    assert jobs[0].name == "profiling"
    assert [job.work for job in jobs[1:]] == sorted((job.work for job in jobs[1:]), reverse=True)


def test_progress_is_read_from_the_curve_of_this_run(tmp_path: Path) -> None:
    curve = tmp_path / "training.csv"
    job = reproduce.Job("x", ["x"], 8, curve, iterations=40)
    assert job.done() == 0
    curve.write_text("iteration,loss\n")
    assert job.done() == 0
    curve.write_text("iteration,loss\n5,0.2\n10,0.1\n")
    assert job.done() == pytest.approx(2)
    job.started = curve.stat().st_mtime + 1
    assert job.done() == 0, "the curve of the run before"


def test_a_failing_job_is_named_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "LOGS", tmp_path)
    code = "import sys; print('no such', *sys.argv[1:]); sys.exit(3)"
    monkeypatch.setattr(reproduce, "DVC", [sys.executable, "-c", code])
    with pytest.raises(SystemExit, match=r"(?s)no such repro .*train@x.*error: first"):
        reproduce.run([reproduce.Job("first", ["train@x"]), reproduce.Job("second", ["y"])], 1)
    assert [log.name for log in tmp_path.iterdir()] == ["first.log"], "the second never started"


def test_scores_are_compared_with_the_largest_deviation_named() -> None:
    same = {"old": 30.5, "new": 30.5}
    changed = {
        "results/laptop/derain/metrics.json": {
            "held-out.all.psnr_db": {"old": 30.0, "new": 29.5},
            "held-out.all.ssim": {"old": 0.9, "new": 0.91},
            "held-out.all.ssim_input": same,
            "held-out.all.images": {"old": 3, "new": 3},  # no score
        },
        "results/laptop/new_task/metrics.json": {"held-out.all.psnr_db": {"new": 20.0}},
    }
    text = reproduce.comparison(changed)
    assert "| derain | held-out.all.psnr_db | 30.0 | 29.5 | -0.5 |" in text
    assert "ssim" not in text
    assert "1 of 3 scores are the same as committed" in text
    assert text.endswith("Largest deviation: -0.5 (derain, held-out.all.psnr_db)")
    nothing = reproduce.comparison({"results/smoke/derain/metrics.json": {"a": {"new": 1.0}}})
    assert "no committed scores" in nothing


def test_a_termination_signal_stops_the_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = reproduce.Job("x", ["x"], 1)
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    for name, value in {"DVC": sleeping, "LOGS": tmp_path}.items():
        monkeypatch.setattr(reproduce, name, value)
    monkeypatch.setattr(reproduce, "outdated", lambda _: {"x"})
    monkeypatch.setattr(reproduce, "jobs", lambda _: [job])
    monkeypatch.setattr(sys, "argv", ["reproduce.py"])
    monkeypatch.setenv("PATH", os.environ["PATH"])  # main puts its Python first
    usual = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what runs in background
    try:
        threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(SystemExit, match="interrupted"):
            reproduce.main()
    finally:
        for name, handler in usual.items():
            signal.signal(name, handler)
    assert job.process.poll() is not None
