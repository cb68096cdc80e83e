"""What it takes to check the paper's claims: CPU time, memory and disk of the stages behind them.

Each stage runs as the pipeline runs it, but into a temporary folder, and its files are compared
with the committed ones by their hashes in dvc.lock.

    python benchmarks/claims_cpu.py --csv results/benchmarks/claims_cpu.csv
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml
from cpu_timing import write

ROOT = Path(__file__).resolve().parents[1]


def stages(root: Path = ROOT) -> list[str]:
    """Return the stages that ``book/claims.yaml`` names, each once."""
    claims = yaml.safe_load((root / "book" / "claims.yaml").read_text(encoding="utf-8"))
    return list(
        dict.fromkeys(name for claim in claims.values() for name in claim.get("stages", []))
    )


def measure(stage: str, locked: dict[str, Any]) -> dict[str, Any]:
    """Run a stage and compare what it writes with what is committed.

    Parameters
    ----------
    stage : str
        Its name in the table.
    locked : dict
        What ``dvc.lock`` says of it.
    """
    committed = {Path(out["path"]).name: out["md5"] for out in locked["outs"]}
    with tempfile.TemporaryDirectory() as folder:
        words = [
            f"{folder}/{Path(word).name}" if word.startswith("results/") else word
            for word in shlex.split(locked["cmd"])
        ]
        words[0] = sys.executable
        before = _cpu_seconds()
        peak_bytes = _run(words)
        seconds = _cpu_seconds() - before
        written = [path for path in Path(folder).iterdir() if path.name in committed]
        same = sum(_md5(path) == committed[path.name] for path in written)
        size = sum(path.stat().st_size for path in written)
    return {
        "stage": stage, "cpu_seconds": seconds, "peak_memory_mib": peak_bytes / 2**20,
        "written_mib": size / 2**20, "files": len(committed), "same_files": same,
    }  # fmt: skip


def _run(command: list[str]) -> int:
    """Run a program; return the most memory that it and its children had at a time, in bytes."""
    with tempfile.TemporaryFile() as log, subprocess.Popen(
        command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        peak = 0
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(0.1)
        if process.returncode:
            log.seek(0)
            sys.exit(f"{log.read().decode(errors='replace')}\nerror: {shlex.join(command)} failed")
    return peak


def _cpu_seconds() -> float:
    """Return the CPU time of the programs run so far; others on the machine do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(pid: int) -> int:
    try:
        parent = psutil.Process(pid)
        return sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)])
    except psutil.NoSuchProcess:  # one of them has just ended
        return 0


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def main() -> None:
    """Measure all stages, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", help="default: all that the claims need")
    parser.add_argument("--csv", required=True)
    arguments = parser.parse_args()
    locked = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    if unknown := [name for name in arguments.stages if name not in locked]:
        sys.exit(f"error: no stage of dvc.lock: {', '.join(unknown)}; see dvc stage list")
    rows = [measure(name, locked[name]) for name in arguments.stages or stages()]
    write(pd.DataFrame(rows), arguments.csv)


if __name__ == "__main__":
    main()
