"""Loading in many threads at once gives the same as alone, and leaves no trace in the process."""

from __future__ import annotations

import tarfile
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from eamamba.checkpoint import CheckpointError, load_model, unpickling
from eamamba.checkpoint.unpickling import unpickle
from eamamba.config import EAMambaSettings, MambaSettings
from eamamba.network import EAMamba

THREADS = 8
SETTINGS = EAMambaSettings(
    dim=8,
    num_blocks=(1, 1, 1, 1),
    num_refinement_blocks=1,
    mamba_cfg=MambaSettings(scan_count=4, d_state=4),
)


def content() -> dict[str, object]:
    torch.manual_seed(0)
    args = SETTINGS.model_dump(mode="json", exclude={"architecture"})
    weights = EAMamba(SETTINGS).state_dict()
    model = {"name": "eamamba", "args": args, "sd": weights, "sd_e": weights}
    return {"model": model, "state": np.random.RandomState(0).get_state()}


@pytest.mark.parametrize("old_form", [False, True])
def test_eight_threads_load_one_file(tmp_path: Path, old_form: bool) -> None:
    path = tmp_path / "released.pth"
    torch.save(content(), path, _use_new_zipfile_serialization=not old_form)
    start = threading.Barrier(THREADS)

    def load(_: int) -> list[dict[str, Tensor]]:
        start.wait()
        return [load_model(path).state_dict() for _ in range(10)]

    with ThreadPoolExecutor(THREADS) as pool:
        loaded = [state for states in pool.map(load, range(THREADS)) for state in states]
    assert len(loaded) == THREADS * 10
    for state in loaded[1:]:
        assert all(torch.equal(state[name], weight) for name, weight in loaded[0].items())


def test_loading_changes_nothing_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "released.pth"
    torch.save(content(), path)
    seen = []
    before = (list(warnings.filters), warnings.showwarning, torch.serialization.get_safe_globals())

    def look(*_: object, **__: object) -> None:
        # in the middle of reading, where another thread might be
        after = (warnings.filters, warnings.showwarning, torch.serialization.get_safe_globals())
        seen.append(after == before)

    read = torch._utils._rebuild_tensor_v2

    def rebuild(*arguments: object) -> Tensor:
        look()
        return read(*arguments)

    monkeypatch.setitem(unpickling._ALLOWED["torch._utils"], "_rebuild_tensor_v2", rebuild)
    load_model(path)
    look()
    assert len(seen) > 1
    assert all(seen)


def test_plain_values_of_all_kinds_are_read(tmp_path: Path) -> None:
    values = {
        "tensors": [torch.ones(2, dtype=kind) for kind in (torch.float16, torch.int64, torch.bool)],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "numpy": [np.arange(3), np.float64(2.5), np.arange(4, dtype=np.uint32)],
        "plain": [b"bytes", {1, 2}, frozenset("a"), 1j, None, True, "ä", torch.Size([1])],
        "torch": [torch.device("cpu"), torch.float32],
    }
    for name, old_form, protocol in (("a", False, 2), ("b", True, 2), ("c", False, 4)):
        path = tmp_path / f"{name}.pth"
        torch.save(
            values,
            path,
            _use_new_zipfile_serialization=not old_form,
            pickle_protocol=protocol,
        )
        assert repr(unpickle(path)) == repr(values)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "torch.load", "functools.partial"])
def test_nothing_else_is_called(tmp_path: Path, name: str) -> None:
    module, _, function = name.rpartition(".")
    pickled = f"c{module}\n{function}\n(S'1'\ntR.".encode()
    path = tmp_path / "hostile.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    with pytest.raises(CheckpointError, match=rf"refused: holds objects .*\({name}\)"):
        load_model(path)


def test_programs_and_archives_are_refused(tmp_path: Path) -> None:
    program, archive = tmp_path / "program.pth", tmp_path / "archive.pth"
    with zipfile.ZipFile(program, "w") as file:
        file.writestr("archive/data.pkl", b"N.")
        file.writestr("archive/constants.pkl", b"N.")
    with tarfile.open(archive, "w") as tar:
        tar.add(program, "storages")
    with pytest.raises(CheckpointError, match="refused: holds a TorchScript program"):
        load_model(program)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_model(archive)


def test_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    with pytest.raises(CheckpointError, match="not a readable checkpoint: the file is empty"):
        load_model(tmp_path / "empty.pth")
