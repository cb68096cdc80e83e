"""The committed cards are what their sources say, and the sources cover every task."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import model_cards
import pytest
import yaml
from model_cards import to_json, to_markdown

from eamamba import checkpoint, paths
from eamamba.cards import card, card_markdown, card_of, facts_of, shipped_cards
from eamamba.config import EAMambaError, load_settings

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in paths.PRETRAINED.glob("*.safetensors"))


def test_committed_cards_are_up_to_date() -> None:
    made = model_cards.cards()
    assert [one.name for one in made] == NAMES
    assert card.CARDS.read_text(encoding="utf-8") == to_json(made), "run make cards"
    written = (ROOT / "results/pretrained/cards.md").read_text(encoding="utf-8")
    assert written == to_markdown(made), "run make cards"


@pytest.mark.parametrize("name", NAMES)
def test_a_card_follows_its_sources(name: str) -> None:
    shown, file = shipped_cards()[name], paths.PRETRAINED / f"{name}.safetensors"
    header = checkpoint.read_header(file)
    assert shown.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    model = checkpoint.load_model(file)
    assert shown.parameters == sum(each.numel() for each in model.parameters())
    assert (shown.task, shown.iterations) == (header["task"], header["extra"]["iterations"])
    assert shown.data, "no training data"
    assert shown.harm, "run benchmarks/harm.py"
    assert shown.limits
    metrics = ROOT / "results/pretrained" / name / "metrics.json"
    tests = {score.test for score in shown.scores}
    assert tests >= (set(json.loads(metrics.read_text())) if metrics.is_file() else set())


def test_notes_describe_every_task_and_training_set() -> None:
    notes = yaml.safe_load((ROOT / "eamamba/cards/notes.yaml").read_text(encoding="utf-8"))
    for profile in ("pretrained", "compact_denoiser"):
        settings = load_settings(ROOT / "params.yaml", profile)
        assert notes["tasks"].keys() == settings.tasks.keys()
        used = {name for task in settings.tasks.values() for name in task.data.training_set or ()}
        assert used <= notes["data_sets"].keys()


def test_what_is_not_described_is_named(tmp_path: Path) -> None:
    for place in ("params.yaml", "eamamba/cards/notes.yaml"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place, tmp_path / place)
    notes = tmp_path / "eamamba/cards/notes.yaml"
    notes.write_text(notes.read_text(encoding="utf-8").replace("  derain:", "  rain:"))
    with pytest.raises(EAMambaError, match="nothing on 'derain'"):
        model_cards.cards(tmp_path)


def test_markdown_shows_all_parts_and_leaves_out_what_is_missing() -> None:
    full = card_markdown(shipped_cards()["denoise_gaussian"], level=3)
    parts = ("Training data", "Scores", "Input without the degradation", "Limits")
    assert all(f"\n#### {part}\n" in full for part in parts)
    assert "| CBSD68 | published sets | σ = 25 | 68 |" in full
    bare = card_markdown(facts_of(paths.PRETRAINED / "derain.safetensors"))
    assert "####" not in bare
    assert "| None" not in full + bare


def test_files_without_a_header_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(EAMambaError, match="not a weights file"):
        card_of(tmp_path / "a.safetensors")


def test_the_format_is_that_of_the_checkpoints() -> None:
    assert card.FORMAT == checkpoint.FORMAT
