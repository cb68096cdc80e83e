"""Run the complete pipeline, one task per core, and compare the scores with the committed ones.

    python pipeline/reproduce.py [--jobs N]

Each task and each variant of the ablation study is a separate `dvc repro`, which DVC allows if they
wait for its lock. Stages that are up to date do not run. A plain `dvc repro` does the same, one
stage after another.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from tqdm import tqdm

from eamamba import paths
from eamamba.config import Settings, TaskSettings, load_settings
from eamamba.progress import bar_options
from eamamba.report.tables import markdown
from eamamba.training import plan

ROOT = paths.project_root()
LOGS = ROOT / ".dvc" / "tmp" / "logs"
DVC = [sys.executable, "-m", "dvc", "--wait-for-lock"]
PER_TASK = ("settings", "data", "train", "evaluate", "receptive_field")
PER_VARIANT = ("variant_settings", "ablation")
# Work of a notebook besides training; affects only the order of jobs and the estimated time.
NOTEBOOK_TERAFLOPS = 0.25


@dataclass
class Job:
    """Stages that run one after another, in parallel with other jobs."""

    name: str
    stages: list[str]
    training: float = 0
    curve: Path | None = None
    iterations: int = 0
    started: float = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def work(self) -> float:
        """The work to do, in TFLOPs of training."""
        return self.training + NOTEBOOK_TERAFLOPS * len(self.stages)

    @property
    def log(self) -> Path:
        """The file for the job's output."""
        return LOGS / f"{self.name}.log"

    def start(self) -> None:
        """Start the job; its progress bars go to the log."""
        self.started = time.time()
        with self.log.open("wb") as log:
            command = [*DVC, "repro", "--single-item", *self.stages]
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """Interrupt the job like Ctrl-C; training resumes from its last checkpoint."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait()

    def done(self) -> float:
        """Return how much of the work is done, according to the training curve."""
        try:
            if self.curve is None or self.curve.stat().st_mtime < self.started:
                return 0
            last = self.curve.read_text(encoding="utf-8").splitlines()[-1].split(",")[0]
            return self.training * int(last) / self.iterations
        except (OSError, ValueError, IndexError):
            return 0  # just being rewritten


def jobs(settings: Settings) -> list[Job]:
    """Return all jobs, the longest first.

    A long job without a scan comes first, so that on two cores only one compiles the kernels.
    """
    found = [Job(name, [name]) for name in ("photographs", "protocols", "scan_orders")]
    found.append(Job("pictures", ["picture_settings", "pictures"]))
    for task, chosen in settings.tasks.items():
        folder = paths.results(settings.profile, task)
        found.append(_training_job(PER_TASK, task, chosen, folder))
    for variant, chosen in settings.ablations.items():
        folder = paths.results(settings.profile, "ablations") / variant
        found.append(_training_job(PER_VARIANT, variant, chosen, folder))
    return [Job("profiling", ["profiling"]), *sorted(found, key=lambda job: -job.work)]


def _training_job(stages: tuple[str, ...], name: str, settings: TaskSettings, folder: Path) -> Job:
    training = plan(settings)["teraflops"].sum()
    items = [f"{stage}@{name}" for stage in stages]
    return Job(name, items, training, folder / "training.csv", settings.training.iterations)


def outdated(settings: Settings) -> set[str]:
    """Return the stages that are out of date, after creating the inputs shared by several jobs."""
    shared = ["sources", f"variant_settings@{next(iter(settings.ablations))}"]
    subprocess.run([*DVC, "repro", "--quiet", *shared], cwd=ROOT, check=True)
    return set(_ask_dvc("status", "--json"))


def _ask_dvc(*words: str) -> dict[str, Any]:
    """Return the output of a DVC command; its errors go to the terminal."""
    command = [*DVC, *words]
    answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout)


def run(waiting: list[Job], at_once: int) -> None:
    """Run all jobs; if one fails, exit and show the end of its log."""
    if not waiting:
        return
    LOGS.mkdir(parents=True, exist_ok=True)
    running: list[Job] = []
    finished, count, total = 0.0, 0, len(waiting)
    bar = tqdm(
        total=sum(job.work for job in waiting),
        bar_format="{desc} {bar} {percentage:.0f} %, {elapsed} so far, about {remaining} left",
        smoothing=0,
        **bar_options(seconds=1),
    )
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(waiting.pop(0))
                running[-1].start()
            time.sleep(0.2)
            for job in [job for job in running if job.process and job.process.poll() is not None]:
                running.remove(job)
                if job.process and job.process.returncode:
                    bar.close()
                    sys.exit(
                        f"{_last_lines(job.log)}\nerror: {job.name} failed; full log: {job.log}"
                    )
                finished, count = finished + job.work, count + 1
                minutes, seconds = divmod(round(time.time() - job.started), 60)
                bar.write(f"{count:3} of {total}: {job.name}, {minutes} min {seconds:02} s")
            bar.set_description_str(" and ".join(job.name for job in running), refresh=False)
            done = finished + sum(job.done() for job in running)
            shown = done if done > bar.total / 50 else 0  # too early for an estimate
            bar.update(shown - bar.n)
    finally:
        bar.close()
        for job in running:
            job.stop()


def _last_lines(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def changes() -> dict[str, Any]:
    """Return all scores in the last commit and in this folder, from DVC."""
    return _ask_dvc("metrics", "diff", "--all", "--json", "HEAD")


def comparison(changed: dict[str, Any]) -> str:
    """Return a table of committed and reproduced PSNR, and the largest deviation of any score."""
    rows = [
        {"Of": Path(file).parent.name, "Score": name, "Committed": one["old"], "Now": one["new"]}
        for file, scores in changed.items()
        for name, one in scores.items()
        if isinstance(one.get("old"), float) and isinstance(one.get("new"), float)
    ]
    if not rows:
        return "There are no committed scores for this profile to compare with."
    table = pd.DataFrame(rows).sort_values(["Of", "Score"], ignore_index=True)
    table["Deviation"] = table["Now"] - table["Committed"]
    furthest = table.loc[table["Deviation"].abs().idxmax()]
    return (
        f"{markdown(table[table['Score'].str.endswith('.psnr_db')])}\n"
        f"{(table['Deviation'] == 0).sum()} of {len(table)} scores are the same as committed. "
        f"Largest deviation: {furthest['Deviation']:g} ({furthest['Of']}, {furthest['Score']})"
    )


def main() -> None:
    """Run what is out of date, build the book, then compare the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: one per core")
    at_once = max(1, parser.parse_args().jobs)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops the jobs too, like Ctrl-C
    # The stages call `python`, which should be this one.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    profile = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["profile"]
    settings = load_settings(ROOT / "params.yaml", profile)  # as read by DVC
    try:
        with ThreadPoolExecutor() as pool:  # DVC runs in its own process meanwhile
            stale, planned = pool.submit(outdated, settings), jobs(settings)
        run([job for job in planned if stale.result().intersection(job.stages)], at_once)
        subprocess.run([*DVC, "repro"], cwd=ROOT, check=True)
        print(comparison(changes()))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; run it again to resume")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
