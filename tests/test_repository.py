"""House rules that no linter knows: sizes, clean notebooks, nothing left for later, paper trail."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILE_LINES = 300
FUNCTION_LINES = 40
CELL_LINES = 10
# Kernels are long rather than cut into pieces that hand each other dozens of values.
KERNELS = {
    "eamamba/selective_scan/cpu/kernels.py",
    "eamamba/selective_scan/cpu/projecting.py",
    "eamamba/selective_scan/cpu/simd.py",
    "eamamba/selective_scan/cpu/steps.py",
    "eamamba/selective_scan/triton/kernels.py",
    "eamamba/selective_scan/triton/tiles.py",
}


def files(*suffixes: str) -> list[Path]:
    """Files that are, or are about to be, under version control; all suffixes if none is given."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / name for name in sorted(set(listed.split("\0"))) if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def relative(paths: list[Path]) -> list[str]:
    """Names of files as a reader of the repository writes them."""
    return [path.relative_to(ROOT).as_posix() for path in paths]


MODULES = relative(files(".py"))
NOTEBOOKS = [name for name in relative(files(".ipynb")) if name.startswith("notebooks/")]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from ``def`` to its end, its docstring aside."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


@pytest.mark.parametrize("name", [name for name in MODULES if name not in KERNELS])
def test_module_is_short(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = len(text.splitlines())
    assert lines <= FILE_LINES, f"{name} has {lines} lines, at most {FILE_LINES}: split it"
    long = {
        node.name: code_lines(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and code_lines(node) > FUNCTION_LINES
    }
    assert not long, f"{name}: functions of more than {FUNCTION_LINES} lines: {long}"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_stripped(name: str) -> None:
    cells = nbformat.read(ROOT / name, as_version=4).cells
    executed = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert not executed, f"{name} holds outputs: nbstripout {name}"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_tells_and_modules_do(name: str) -> None:
    cells = nbformat.read(ROOT / name, as_version=4).cells
    for number, cell in enumerate(cells, start=1):
        if cell.cell_type != "code":
            continue
        lines = cell.source.strip().splitlines()
        assert len(lines) <= CELL_LINES, f"{name}, cell {number}: {len(lines)} lines"
        # Cells may start with a line of IPython's own syntax, so ast cannot read them all.
        defined = [line for line in lines if re.match(r"\s*(async\s+def|def|class)\s", line)]
        assert not defined, f"{name}, cell {number} defines {defined}: move it into eamamba/"


def test_nothing_is_left_for_later() -> None:
    # Assembled, so that this file does not find itself.
    marks = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
    texts = files(".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".bib", ".sh", ".ipynb")
    # Executed notebooks are full of encoded pictures; what they were run from is in notebooks/.
    others = [ROOT / "book" / "_vendor", ROOT / "results"]
    kept = [path for path in texts if not any(path.is_relative_to(other) for other in others)]
    marked = [path for path in kept if marks.search(path.read_text(encoding="utf-8"))]
    assert not relative(marked)


def test_license_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def load_citation() -> dict[str, Any]:
    """CITATION.cff as a mapping."""
    citation: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return citation


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert load_citation()["version"] == project["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (latest, *_) = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, flags=re.MULTILINE)
    assert latest == project["version"]


def test_citation_names_the_paper() -> None:
    citation = load_citation()
    assert citation["license"] == "Apache-2.0"
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("EAMamba: Efficient All-Around Vision State Space Model")
    assert len(paper["authors"]) == 5
