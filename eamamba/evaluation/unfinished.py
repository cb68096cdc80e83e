"""The scores of an unfinished test, saved so that an interruption loses none."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import torch
from torch import Tensor, nn

from eamamba import __version__
from eamamba.config import TaskSettings
from eamamba.evaluation.cases import Case
from eamamba.evaluation.protocols import Scores
from eamamba.files import write_atomically
from eamamba.restore import Restorer

FILE = "per_image.unfinished.csv"
_WHERE = ("benchmark", "image", "condition", "sha256")


class Unfinished:
    """Keeps each score in ``per_image.unfinished.csv`` until the test is done.

    A row is reused only for the same image, network, protocol and versions, which are all in its
    hash. Numbers have full precision, so that a resumed test gives the same bytes.

    Parameters
    ----------
    folder : Path
        Folder of the results.
    model : module or another Restorer
        Nothing is kept for one that is not a module, since it cannot be identified.
    settings : TaskSettings
    process : int
        Number of this process, where several score together: each writes a file of its own.
    export : Path, optional
        Folder that the restored images go to. Scores of images that went elsewhere do not count.
    """

    def __init__(
        self,
        folder: Path,
        model: Restorer,
        settings: TaskSettings,
        process: int = 0,
        export: Path | None = None,
    ) -> None:
        self._first = folder / FILE
        self.path = self._first.with_suffix(f".{process}.csv") if process else self._first
        self._of_run = _hash_of(model, settings, export) if isinstance(model, nn.Module) else None
        self._known = self._read() if self._of_run else {}

    def find(self, case: Case) -> Scores | None:
        """Return the scores from an earlier run; None if there are none."""
        return self._known.get(self._hash(case)) if self._known else None

    def add(self, case: Case, scores: Scores) -> None:
        """Save the scores of an image."""
        if self._of_run is None:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            writer.writerow([*_WHERE, *scores])
        where = (case.benchmark, case.image, case.condition, self._hash(case))
        writer.writerow([*where, *map(repr, scores.values())])
        try:
            with self.path.open("ab") as file:
                file.write(text.getvalue().encode(errors="backslashreplace"))
        except OSError as error:  # a failed write does not name its file
            if self.path.is_file() and not self.path.stat().st_size:
                self.path.unlink()
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def remove(self) -> None:
        """Remove the files of all processes, once the complete test is written."""
        for path in self._all():
            path.unlink(missing_ok=True)

    def _all(self) -> list[Path]:
        return sorted(self._first.parent.glob(f"{self._first.stem}*.csv"))

    def _read(self) -> dict[str, Scores]:
        """Return hash -> scores of all processes; from the own file a truncated line is removed."""
        known: dict[str, Scores] = {}
        for path in self._all():
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content and path == self.path:
                write_atomically(path, whole)
            known |= _scores_in(whole)
        return known

    def _hash(self, case: Case) -> str:
        digest = hashlib.sha256(f"{self._of_run} {case.condition}".encode())
        for image in (case.clean, case.degraded):
            _update(digest, image)
        return digest.hexdigest()


def _scores_in(content: bytes) -> dict[str, Scores]:
    """Return hash -> scores of the rows of a file."""
    known = {}
    for row in csv.DictReader(io.StringIO(content.decode(errors="replace"))):
        digest, *_ = (row.pop(name, "") for name in reversed(_WHERE))
        try:
            known[digest] = {name: float(value) for name, value in row.items()}
        except (TypeError, ValueError):
            continue  # not ours: score it again
    return known


def _hash_of(model: nn.Module, settings: TaskSettings, export: Path | None) -> str:
    """Return a hash of everything except the images that affects scores and exported files."""
    state = model.state_dict()
    device = next((tensor.device.type for tensor in state.values()), "cpu")
    facts = (
        __version__,
        torch.__version__,
        device,
        repr(model),
        settings.evaluation,
        settings.scale,
        str(export and export.absolute()),
    )
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in state.items():
        digest.update(name.encode())
        _update(digest, tensor)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, tensor: Tensor) -> None:
    digest.update(repr(tuple(tensor.shape)).encode())
    digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
