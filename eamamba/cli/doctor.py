"""``eamamba doctor``: what this machine offers, what is missing and how to get it."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from eamamba import __version__, paths
from eamamba.cli.extras import EXTRAS, is_installed, packages_of

GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One finding; ``advice`` says how to improve it."""

    what: str
    found: str
    advice: str = ""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of findings.")] = False,
) -> None:
    """Report what eamamba finds on this machine, what is missing and how to get it.

    Example: `eamamba doctor --json > machine.json`
    """
    findings = [*_software(), *_cpu(), *_memory(), *_gpus(), *_backends(), *_folders()]
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
        return
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        typer.echo(f"{finding.what:{width}}  {finding.found}")
        if finding.advice:
            typer.echo(f"{'':{width}}  → {finding.advice}")


def _software() -> Iterator[Finding]:
    import torch

    yield Finding("eamamba", f"{__version__} in {paths.PACKAGE}")
    yield Finding("Python", f"{platform.python_version()} on {platform.platform()}")
    yield Finding("torch", torch.__version__)
    for extra in EXTRAS:
        missing = [name for name in packages_of(extra) if not is_installed(name)]
        found = f"without {', '.join(missing)}" if missing else "installed"
        advice = f'pip install "eamamba[{extra}]"' if missing else ""
        yield Finding(f"extra {extra}", found, advice)


def _cpu() -> Iterator[Finding]:
    import torch

    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    vectors = torch.backends.cpu.get_cpu_capability()
    yield Finding("CPU", f"{usable} of {os.cpu_count()} cores usable, {vectors}")
    threads = torch.get_num_threads()
    advice = f"set OMP_NUM_THREADS={usable} to use all cores" if threads < usable else ""
    if threads > usable:
        advice = f"set OMP_NUM_THREADS={usable}: more threads than cores slow each other down"
    yield Finding("threads of torch", str(threads), advice)


def _memory() -> Iterator[Finding]:
    import psutil

    from eamamba.restore.limits import address_space, cgroup_bytes

    memory = psutil.virtual_memory()
    free = memory.available / GIB
    advice = "close other programs, or restore with --tile 256" if free < 2 else ""
    yield Finding("memory", f"{free:.1f} of {memory.total / GIB:.1f} GiB free", advice)
    limits = {"container limit": min(cgroup_bytes(), default=None), "shell limit": address_space()}
    for name, left in limits.items():
        if left is not None and left < memory.available:
            advice = "raise its limit, or restore with --tile 256" if left < 2 * GIB else ""
            yield Finding(name, f"{left / GIB:.1f} GiB free", advice)


def _gpus() -> Iterator[Finding]:
    import torch

    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding(f"cuda:{number}", f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        advice = (
            "check the driver with nvidia-smi" if built else
            "this build of torch supports no GPU; if there is one, install the CUDA build of torch"
        )  # fmt: skip
        yield Finding("GPU", "none that torch can use", advice)


def _backends() -> Iterator[Finding]:
    from eamamba.selective_scan import BACKENDS, backend_problem

    for name in BACKENDS:
        problem = backend_problem(name)
        yield Finding(f"scan, {name}", "no" if problem else "yes", problem or "")


def _folders() -> Iterator[Finding]:
    from eamamba.checkpoint import named_weights

    by_name = len(named_weights())
    folders = [str(folder) for folder in paths.weights_folders() if folder.is_dir()]
    yield Finding("weights", f"{by_name} by name, in {', '.join(folders) or 'no folder'}")
    cache = paths.user_cache()
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    writable = os.access(existing, os.W_OK)
    advice = "" if writable else "set XDG_CACHE_HOME to a writable folder"
    yield Finding(
        "cache", f"{cache}, {_size(cache)}" if writable else f"{cache}, read-only", advice
    )
    kernels = Path(os.environ.get("NUMBA_CACHE_DIR") or paths.PACKAGE)
    writable = os.access(kernels, os.W_OK)
    advice = "" if writable else "set NUMBA_CACHE_DIR, or the kernels are compiled at every start"
    yield Finding("compiled kernels", f"{kernels}{'' if writable else ', read-only'}", advice)
    project = paths.project_root() / "params.yaml"
    found = str(project) if project.is_file() else "none here"
    yield Finding(
        "project", found, "" if project.is_file() else "only needed to train and evaluate"
    )


def _size(folder: Path) -> str:
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{total / 2**20:.1f} MiB"
