"""Networks go to the Hugging Face Hub and come back; nothing here reaches the network."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from eamamba import load_model, network
from eamamba.checkpoint import CheckpointError
from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings
from eamamba.restore import restore

hub = pytest.importorskip("eamamba.hub", exc_type=ModuleNotFoundError)

SCAN = MambaSettings(scan_count=4, d_state=4)
SMALL = EAMambaSettings(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, mamba_cfg=SCAN)
SMALL_SR = EAMambaSRSettings(dim=8, num_blocks=(1,), upscale=2, mamba_cfg=SCAN)
IMAGE = torch.linspace(0, 1, 3 * 16 * 24).view(3, 16, 24)
KINDS = [("EAMamba", SMALL), ("EAMambaSR", SMALL_SR)]


@pytest.fixture(params=KINDS, ids=[name for name, _ in KINDS])
def model(request: pytest.FixtureRequest) -> network.Network:
    name, settings = request.param
    torch.manual_seed(0)
    return getattr(hub, name).of(network.build(settings).eval(), task="derain")


def test_a_folder_holds_the_network(model: network.Network, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json", "model.safetensors", "README.md"
    }  # fmt: skip
    back = type(model).from_pretrained(tmp_path)
    assert (back.settings, back.task, back.training) == (model.settings, "derain", False)
    expected = restore(model, IMAGE)
    assert torch.equal(restore(back, IMAGE), expected)
    for place in (tmp_path, tmp_path / "model.safetensors"):
        assert torch.equal(restore(load_model(place), IMAGE), expected)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert "library_name: eamamba" in card
    assert "# derain" in card


def test_pushed_files_come_back(
    model: network.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = tmp_path / "remote"

    class Api:
        def __init__(self, token: str | None = None) -> None:
            assert token == "secret"

        def create_repo(self, repo_id: str, **_: object) -> SimpleNamespace:
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, *, repo_id: str, folder_path: Path, **_: object) -> str:
            shutil.copytree(folder_path, remote / repo_id)
            return f"https://hub/{repo_id}"

    def download(repo_id: str, filename: str, **_: object) -> str:
        return str(remote / repo_id / filename)

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", download)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.chdir(tmp_path)
    assert model.push_to_hub("me/derain", token="secret") == "https://hub/me/derain"
    back = type(model).from_pretrained("me/derain")
    assert torch.equal(restore(back, IMAGE), restore(model, IMAGE))


def test_what_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fail(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("cannot find\nthe requested files")

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", fail)
    monkeypatch.chdir(tmp_path)
    reason = r"me/none: no weights from the Hub \(cannot find the requested files\)"
    with pytest.raises(CheckpointError, match=reason):
        hub.EAMamba.from_pretrained("me/none")
    with pytest.raises(CheckpointError, match="no weights from the Hub"):
        hub.EAMamba.from_pretrained("not a name")


def test_the_other_kind_is_refused(tmp_path: Path) -> None:
    hub.EAMambaSR.of(network.build(SMALL_SR)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"got a network EAMambaSR.*hub.EAMambaSR"):
        hub.EAMamba.from_pretrained(tmp_path)


def test_without_the_extra_the_import_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "eamamba.hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "eamamba\[hub\]"'):
        __import__("eamamba.hub")
