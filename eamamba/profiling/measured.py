"""Measure the memory and time of real forward passes in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import torch
from pydantic import TypeAdapter
from torch import Tensor

from eamamba.config import EAMambaError, ModelSettings
from eamamba.network import Network, build
from eamamba.profiling.counted import DOUBLING_SIZES

MIB = 2**20
_CHILD = "from eamamba.profiling.measured import main; main()"


class ProfilingError(EAMambaError, RuntimeError):
    """A measurement failed for a reason other than lack of memory."""


@dataclass(frozen=True)
class ForwardCost:
    """Memory and time of one real forward pass.

    Attributes
    ----------
    size : int
        Height and width of the input in pixels; the batch holds one image.
    peak_mib : float
        Memory beyond what the loaded network already holds, in 2^20 bytes.
    seconds : float
        The fastest of the repeated passes.
    """

    size: int
    peak_mib: float
    seconds: float


def measure_memory(
    settings: ModelSettings,
    sizes: Iterable[int] = DOUBLING_SIZES,
    *,
    device: str = "cpu",
    repeats: int = 2,
    memory_mib: float | None = None,
) -> Iterator[ForwardCost]:
    """Run forward passes of a freshly initialised network in a fresh process, size by size.

    Each cost is yielded as soon as it is measured. The last is before the first size that runs out
    of memory or is expected to: memory is assumed to grow linearly with the number of pixels.

    Parameters
    ----------
    settings : EAMambaSettings or EAMambaSRSettings
    sizes : iterable of int
        Heights and widths in pixels, ascending.
    device : str
        ``cpu`` or a CUDA device.
    repeats : int
        Passes per size, of which the fastest counts.
    memory_mib : float, optional
        Memory limit in 2^20 bytes; by default four fifths of the free memory.

    Raises
    ------
    ProfilingError
        If there is no such device, or a pass fails for a reason other than lack of memory.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ProfilingError(f"device {device!r}: no CUDA device here; use cpu")
    job = {
        "settings": settings.model_dump(mode="json"),
        "sizes": sorted(sizes),
        "device": device,
        "repeats": repeats,
        "limit": 0.8 * _free_mib(device) if memory_mib is None else memory_mib,
        "threads": torch.get_num_threads(),
    }
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with child:  # waits for its end
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                child.stdin.write(json.dumps(job))
                child.stdin.close()
                for line in child.stdout:
                    yield ForwardCost(**json.loads(line))
            except BaseException:
                child.kill()
                raise
        errors.seek(0)
        _check_end(child.returncode, errors.read(), device)


def _check_end(status: int, errors: str, device: str) -> None:
    """Raise `ProfilingError` unless a measurement ended well, or for lack of memory."""
    out_of_memory = "OutOfMemoryError" in errors or "not enough memory" in errors
    killed = status == -9  # Linux kills a process that exhausts the memory
    if status and not (out_of_memory or killed):
        reason = (errors.strip() or f"exit status {status}").splitlines()[-1]
        raise ProfilingError(f"cannot measure forward passes on {device}: {reason}")


def _free_mib(device: str) -> float:
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / MIB
    return psutil.virtual_memory().available / MIB


def main() -> None:
    """Read a job from standard input; write a line of JSON per size to standard output."""
    job = json.load(sys.stdin)
    torch.set_num_threads(job["threads"])
    settings = TypeAdapter(ModelSettings).validate_python(job["settings"])
    for cost in _forward_costs(settings, job["sizes"], job["device"], job["repeats"], job["limit"]):
        print(json.dumps(asdict(cost)), flush=True)


def _forward_costs(
    settings: ModelSettings, sizes: list[int], device: str, repeats: int, limit: float
) -> Iterator[ForwardCost]:
    model = build(settings).to(device).eval()
    needed_per_pixel = 0.0
    with torch.inference_mode():
        model(torch.rand(1, settings.inp_channels, 16, 16, device=device))  # compiles kernels
        before = reset_peak_bytes(device)
        for size in sizes:
            if needed_per_pixel * size**2 > limit:
                return
            image = torch.rand(1, settings.inp_channels, size, size, device=device)
            seconds = min(_time_pass(model, image) for _ in range(repeats))
            peak_mib = max(0, peak_bytes(device) - before) / MIB
            needed_per_pixel = peak_mib / size**2
            yield ForwardCost(size, peak_mib, seconds)


def _time_pass(model: Network, image: Tensor) -> float:
    started = time.perf_counter()
    model(image)
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - started


def reset_peak_bytes(device: str) -> int:
    """Forget the peak of memory so far, and return what is in use, in bytes."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with suppress(OSError):  # Linux: reset the peak, which compilation has raised
        Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss


def peak_bytes(device: str) -> int:
    """Return the peak memory since `reset_peak_bytes` (macOS, Windows: of the process)."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows
        return info.peak_wset
    import resource  # does not exist on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
