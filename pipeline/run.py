"""Run a notebook for the pipeline with papermill, made strict and reproducible.

    python pipeline/run.py IN.ipynb OUT.ipynb [-p NAME VALUE]...

Plain papermill only warns about a parameter that the notebook does not have; here it is an error.
Standard error (progress bars) goes to the terminal and not into the executed notebook, which
contains no times, versions or random identifiers either, so two runs give the same bytes. For this
to hold on any number of cores, a notebook computes on one thread unless OMP_NUM_THREADS is set; the
other cores are free for other tasks. Its files go next to its executed copy, which refers to its
pictures by name instead of storing them again.
"""

from __future__ import annotations

import argparse
import base64
import logging
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import nbformat
import psutil

from eamamba import progress
from eamamba.files import write_atomically
from eamamba.openmp import share_cores

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="IProgress not found")  # text bars are intended here
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

# Time after a signal for a training to finish its step and save its state.
GRACE_S = 60
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def check_parameters(notebook: Path, given: dict[str, str]) -> None:
    """Exit with a message unless the notebook takes exactly the given parameters."""
    known = set(papermill.inspect_notebook(notebook))
    wrong, missing = sorted(given.keys() - known), sorted(known - given.keys())
    if wrong or missing:
        sys.exit(
            f"error: {notebook}: unknown parameters {wrong}, missing parameters {missing}; "
            f"it takes {sorted(known)}"
        )


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove everything that differs between runs of a notebook with the same results."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if "injected-parameters" in tags:
            cell.id = "injected-parameters"
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


def show_by_name(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Show pictures in the notebook's folder by name, without storing them again.

    As Markdown, whose relative paths Jupyter and the book resolve from the notebook's folder.
    """
    files = {path.read_bytes(): path.name for path in sorted(folder.glob("*.[jp][pn]g"))}
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for output in [output for cell in code_cells for output in cell.outputs]:
        data = output.get("data", {})
        for kind in data.keys() & {"image/png", "image/jpeg"}:
            name = files.get(base64.b64decode(data[kind]))
            if name:
                del data[kind]
                output.metadata.pop(kind, None)
                data["text/markdown"] = f"![{Path(name).stem.replace('_', ' ')}]({name})"
    return notebook


class Stop:
    """Ends the notebook with this script, and the script with the pipeline that started it.

    The kernel has its own session, so signals to the terminal's programs or to the pipeline do not
    reach it. The first signal interrupts its cell, in which a training saves its state; a second
    one, or the end of `GRACE_S`, interrupts this script, which kills the kernel. The death of the
    pipeline, for any reason, counts as a signal.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)
        threading.Thread(target=self._watch, args=(_pipeline(),), daemon=True).start()

    def status(self, error: BaseException) -> int:
        """Print how the notebook ended, and return the exit status that shells give for it."""
        print(getattr(error, "evalue", "") or "interrupted; run it again", file=sys.stderr)
        return 128 + (self.number or signal.SIGINT)

    def _receive(self, number: int, _frame: object) -> None:
        kernels = psutil.Process().children()
        if self.number is not None or not kernels or os.name == "nt":
            raise KeyboardInterrupt
        self.number = number
        for kernel in kernels:
            kernel.send_signal(signal.SIGINT)
        timer = threading.Timer(GRACE_S, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    def _watch(self, pipeline: list[psutil.Process]) -> None:
        while all(map(_is_alive, pipeline)):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)


def _pipeline() -> list[psutil.Process]:
    """Return the processes of DVC and of ``reproduce.py`` that started this one."""
    programs = {"dvc", "dvc.exe", "reproduce.py"}
    parents = psutil.Process().parents()
    return [p for p in parents if programs & {Path(word).name for word in _words(p)}]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # another user's, or ended
        return []


def _reason(error: BaseException, notebook: Path) -> str:
    if isinstance(error, PapermillExecutionError):
        return f"{error}\nerror: {notebook}: {error.ename}: {error.evalue}"
    if isinstance(error, DeadKernelError):
        return f"error: {notebook}: the system killed its process, often for lack of memory"
    return "\ninterrupted; run it again to resume training from its last checkpoint"


def main() -> None:
    """Run one notebook; exit 1 with its traceback if a cell fails, 128 + N after signal N."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path, help="notebook to run")
    parser.add_argument("executed", type=Path, help="path of the executed copy")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    arguments = parser.parse_args()
    parameters = dict(arguments.p)
    check_parameters(arguments.notebook, parameters)
    os.environ["EAMAMBA_OUTPUT"] = str(arguments.executed.resolve().parent)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    share_cores()
    os.environ.setdefault(progress.VARIABLE, "bar" if sys.stderr.isatty() else "lines")
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
    logging.getLogger("papermill").setLevel(logging.WARNING)
    stop = Stop()
    try:
        executed = papermill.execute_notebook(
            arguments.notebook,
            None,  # written below, after all cells have run
            parameters,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stderr_file=sys.stderr,
            shutdown_kernel="immediate",  # all is written, and freeing objects takes a second
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except (PapermillExecutionError, DeadKernelError, KeyboardInterrupt) as error:
        sys.exit(_reason(error, arguments.notebook) if stop.number is None else stop.status(error))
    shown = show_by_name(normalise(executed), arguments.executed.parent)
    write_atomically(arguments.executed, f"{nbformat.writes(shown)}\n".encode())


if __name__ == "__main__":
    main()
