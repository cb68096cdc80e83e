"""The package is built in layers: a module imports from rows above its own, and never in a ring."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "eamamba"

# CONTRIBUTING.md says what lives in each row.
LAYERS = [
    {"config", "files", "heap", "paths"},
    {"degradations", "images"},
    {"selective_scan"},
    {"network"},
    {"datasets", "checkpoint", "restore"},
    {"training", "evaluation", "profiling"},
    {"report", "cli"},
]
ROW = {module: row for row, modules in enumerate(LAYERS) for module in modules}


def modules() -> list[str]:
    """Top-level names of the package: a module, or a folder standing for all its modules."""
    found = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    return sorted(name.removesuffix(".py") for name in found - {"__init__.py", "__main__.py"})


def sources(module: str) -> list[Path]:
    """Files of a top-level module."""
    folder = PACKAGE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{module}.py"]


def imported_names(path: Path) -> set[str]:
    """Absolute dotted names that a file imports, at any depth of its code."""
    names: set[str] = set()
    package = ["eamamba", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def internal_imports(module: str) -> set[str]:
    """Other top-level modules of the package that a module imports."""
    names = {name for path in sources(module) for name in imported_names(path)}
    parts = [name.split(".") for name in names if name.startswith("eamamba.")]
    return {second for _, second, *_ in parts if second in ROW} - {module}


@pytest.mark.parametrize("module", modules())
def test_module_has_a_layer(module: str) -> None:
    assert module in ROW, f"eamamba/{module}: give it a row in LAYERS of {Path(__file__).name}"


@pytest.mark.parametrize("module", [name for name in modules() if name in ROW])
def test_imports_come_from_above(module: str) -> None:
    below = {other for other in internal_imports(module) if ROW[other] > ROW[module]}
    assert not below, f"eamamba/{module} (layer {ROW[module]}) imports from below: {sorted(below)}"


def test_no_import_rings() -> None:
    graph = {module: internal_imports(module) for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as ring:
        pytest.fail(f"modules import each other in a ring: {' <- '.join(ring.args[1])}")


def test_report_needs_no_torch() -> None:
    if not (PACKAGE / "report.py").exists() and not (PACKAGE / "report").is_dir():
        pytest.skip("eamamba/report is not written yet")
    seen: set[str] = set()
    waiting = ["report"]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting += sorted(internal_imports(module) - seen)
    heavy = {
        module
        for module in seen
        for path in sources(module)
        if any(name.split(".")[0] == "torch" for name in imported_names(path))
    }
    assert not heavy, f"report reads files only, but reaches torch through {sorted(heavy)}"
