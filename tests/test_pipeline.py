"""The pipeline holds together: stages, tasks, dependencies and the notebooks they run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
import pytest
import sources
import toc
import yaml
from picture_settings import picture_settings

from eamamba.cards import shipped_cards
from eamamba.config import load_settings

ROOT = Path(__file__).parents[1]
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TASKS, VARIANTS = list(PARAMS["tasks"]), list(PARAMS["ablations"]["variants"])
KEYS = {"${tasks}": TASKS, "${ablations.variants}": VARIANTS}
# One stage of each kind: what it does for a single key, and the keys that it has.
STAGES: dict[str, Any] = {n: what.get("do", what) for n, what in PIPELINE["stages"].items()}
OF: dict[str, list[str]] = {
    name: KEYS[what["foreach"]] if "foreach" in what else []
    for name, what in PIPELINE["stages"].items()
}
BY_NOTEBOOK = [name for name, what in STAGES.items() if str(what["cmd"]).startswith("${run}")]


def resolved(stage: str, text: str) -> str:
    """A string of a stage with its variables put in."""
    values = {"profile": "laptop", "run": "RUN"} | dict(zip(["key"], OF[stage], strict=False))
    for name, value in values.items():
        text = text.replace("${" + name + "}", value)
    assert "${" not in text, f"unknown variable in {text}"
    return text


def paths_of(stage: str, *groups: str) -> list[str]:
    """Paths that a stage lists, those with options included."""
    entries = chain.from_iterable(STAGES[stage].get(group, []) for group in groups)
    return [resolved(stage, next(iter(e)) if isinstance(e, dict) else e) for e in entries]


def command(stage: str) -> list[str]:
    """The words of a stage's command."""
    return resolved(stage, STAGES[stage]["cmd"]).split()


def notebook_of(stage: str) -> Path:
    return ROOT / command(stage)[1]


def test_no_anchors_hide_what_a_change_reaches() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    tokens = yaml.scan(text)
    assert not [t for t in tokens if isinstance(t, (yaml.AnchorToken, yaml.AliasToken))]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_named_in_few_places(name: str) -> None:
    texts = ((ROOT / file).read_text(encoding="utf-8") for file in ("params.yaml", "dvc.yaml"))
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
    assert len([line for line in lines if re.search(rf"\b{name}\b", line)]) <= 3


def test_pictures_depend_on_the_settings_of_every_task_with_weights_in_the_package() -> None:
    settings = yaml.safe_load(picture_settings(load_settings(ROOT / "params.yaml", "laptop")))
    assert list(settings) == [name for name in TASKS if name in shipped_cards()]
    assert settings["derain"]["data"]["degradation"] == "rain"
    assert settings["derain"]["evaluation"]["protocol"]["colour"] == "y"
    assert "results/${profile}/pictures/settings.yaml" in PIPELINE["stages"]["pictures"]["deps"]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_chapter(name: str) -> None:
    chapter = ROOT / "book" / "tasks" / f"{PARAMS['tasks'][name]['chapter']}.md"
    sections = f"```{{include}} /results/{name}/section.md"
    assert chapter.read_text(encoding="utf-8").count(sections) == 1


def test_every_executed_notebook_is_a_page_of_the_contents() -> None:
    written = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
    assert written == toc.toc(load_settings(ROOT / "params.yaml", "laptop")), "run make book"
    made = {
        STAGES[stage]["cmd"].split()[2].replace("${key}", key).replace("${profile}/", "")
        for stage in BY_NOTEBOOK
        for key in OF[stage] or [""]
    }
    listed = {f"{page}.ipynb" for page in re.findall(r"file: (results/\S+)", written)}
    assert listed == made


@pytest.mark.parametrize("stage", list(STAGES))
def test_dependencies_exist_or_are_made(stage: str) -> None:
    made = set(chain.from_iterable(paths_of(s, "outs", "metrics", "plots") for s in STAGES))
    for path in paths_of(stage, "deps"):
        whole_folder = any(out.startswith(f"{path}/") for out in made)
        in_made_folder = str(Path(path).parent) in made
        of_another_key = path in {
            out.replace("all_around", key) for out in made for key in VARIANTS
        }
        assert (
            path in made
            or of_another_key
            or whole_folder
            or in_made_folder
            or (ROOT / path).exists()
        ), f"{stage}: {path}"


@pytest.mark.parametrize("stage", BY_NOTEBOOK)
def test_outputs_stay_in_the_folder_of_profile_and_task(stage: str) -> None:
    folder = f"results/laptop/{OF[stage][0] if OF[stage] else stage}"
    folder = folder.replace("all_around", "ablations/all_around")
    outputs = paths_of(stage, "outs", "metrics", "plots")
    assert {str(Path(path).parent) for path in outputs} == {folder}
    assert command(stage)[2] in outputs, "the executed notebook is an output"


@pytest.mark.parametrize("stage", list(STAGES))
def test_only_weights_stay_out_of_git(stage: str) -> None:
    entries = chain.from_iterable(STAGES[stage].get(g, []) for g in ("outs", "metrics", "plots"))
    cached = [entry for entry in entries if not isinstance(entry, dict)]
    assert all(entry.endswith("model.safetensors") for entry in cached)


@pytest.mark.parametrize("stage", BY_NOTEBOOK)
def test_notebook_takes_what_the_stage_passes(stage: str) -> None:
    words = command(stage)
    passed = {words[i + 1] for i, word in enumerate(words) if word == "-p"}
    cells = nbformat.read(notebook_of(stage), as_version=4).cells
    (parameters,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    defaults = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(parameters.source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert passed == set(defaults)
    assert defaults["profile"] == "laptop"
    assert defaults.get("task", TASKS[0]) == TASKS[0]
    assert defaults.get("variant", VARIANTS[0]) == VARIANTS[0]


@pytest.mark.parametrize("stage", BY_NOTEBOOK)
def test_a_stage_depends_on_the_sources_of_its_notebook(stage: str) -> None:
    assert f"results/laptop/sources/{notebook_of(stage).stem}.yaml" in paths_of(stage, "deps")


@pytest.mark.parametrize("stage", BY_NOTEBOOK)
def test_a_stage_that_may_start_from_weights_depends_on_them(stage: str) -> None:
    listed = [entry for entry in STAGES[stage].get("params", []) if isinstance(entry, dict)]
    for names in chain.from_iterable(entry.values() for entry in listed):
        starts = {"training", "training.initial_weights"} & set(names)
        assert bool(starts) == ("initial_weights_sha256" in names)
    trains = "eamamba/training/run.py" in sources.modules_behind(notebook_of(stage), ROOT)
    assert not trains or "initial_weights_sha256" in str(listed)


def test_sources_are_what_runs_and_nothing_else() -> None:
    train = sources.modules_behind(ROOT / "notebooks/train.ipynb", ROOT)
    assert {"eamamba/training/trainer.py", "eamamba/selective_scan/cpu/kernels.py"} <= set(train)
    assert not [name for name in train if "triton" in name or "cli" in name or "report" in name]
    scans = sources.modules_behind(ROOT / "notebooks/scan_orders.ipynb", ROOT)
    assert "eamamba/network/scan_order.py" in scans
    assert "eamamba/network/models.py" not in scans


def test_a_change_of_code_reaches_the_notebooks_that_load_it(tmp_path: Path) -> None:
    for name in ("eamamba/alone.py", "eamamba/room/__init__.py", "eamamba/room/deep.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "eamamba/alone.py").write_text("def later():\n    from eamamba.room import deep\n")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/run.py").write_text("")
    (tmp_path / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell("from eamamba import alone")
    notebook = tmp_path / "notebooks/one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), notebook)
    before = sources.hashes(notebook, tmp_path)
    code = ["eamamba/alone.py", "eamamba/room/__init__.py", "eamamba/room/deep.py"]
    assert list(before) == ["notebooks/one.ipynb", "pipeline/run.py", *code]
    (tmp_path / "eamamba/room/deep.py").write_text("x = 1")
    after = sources.hashes(notebook, tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"eamamba/room/deep.py"}


def test_book_depends_on_every_page() -> None:
    pages = {p.relative_to(ROOT).as_posix() for p in (ROOT / "book").glob("*.*")}
    assert pages - {"book/_toc.yml"} <= set(paths_of("book", "deps"))


def test_pages_hold_no_scores_typed_by_hand() -> None:
    written = [page for page in (ROOT / "book").rglob("*.md") if "results" not in page.parts]
    for page in written:
        text = page.read_text(encoding="utf-8")
        typed = re.findall(r"\d+[.,]\d+\s*(?:dB|M\b|GFLOPs|%)", text)
        assert not typed, f"{page.name}: {typed}"


def run_notebook(*words: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "pipeline/run.py", *words]
    return subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)


def write_notebook(path: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


def test_a_run_is_the_same_bytes_and_keeps_progress_out(tmp_path: Path) -> None:
    source = tmp_path / "in.ipynb"
    write_notebook(source, "n = '1'", "import sys\nprint('bar', file=sys.stderr)\nprint(n * 2)")
    runs = [tmp_path / "1.ipynb", tmp_path / "new" / "2.ipynb"]
    for executed in runs:
        done = run_notebook(str(source), str(executed), "-p", "n", "4")
        assert done.returncode == 0, done.stderr
        assert "bar" in done.stderr
    first, second = (path.read_text(encoding="utf-8") for path in runs)
    assert first == second
    (output,) = nbformat.reads(first, as_version=4).cells[-1].outputs
    assert (output.name, output.text) == ("stdout", "44\n")


def test_a_wrong_parameter_or_a_failing_cell_is_an_error(tmp_path: Path) -> None:
    source, executed = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    write_notebook(source, "n = '1'", "raise ValueError('no such luck')")
    done = run_notebook(str(source), str(executed), "-p", "m", "4")
    assert done.returncode == 1
    assert "unknown parameters ['m'], missing parameters ['n']" in done.stderr
    done = run_notebook(str(source), str(executed), "-p", "n", "4")
    assert done.returncode == 1
    assert "ValueError: no such luck" in done.stderr.splitlines()[-1]
    assert not executed.exists()
