"""The package is built in layers: imports come from rows above and never go in a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "eamamba"

# CONTRIBUTING.md says what lives in each row.
LAYERS = [
    {"config", "files", "heap", "openmp", "paths", "progress"},
    {"degradations", "images"},
    {"selective_scan"},
    {"network"},
    {"cards", "datasets", "checkpoint", "restore"},
    {"training", "evaluation", "profiling", "export", "degradation_steps", "hub"},
    {"report", "cli"},
]
ROW = {module: row for row, modules in enumerate(LAYERS) for module in modules}
FILES = {
    ".".join(["eamamba", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Dotted name of every module -> its file."""
# Its names load on first use, and the version is all that modules import from it.
LAZY = "eamamba"
ROOMS = {name: path for name, path in FILES.items() if path.stem == "__init__" and name != LAZY}


def modules() -> list[str]:
    """Top-level names of the package: a module, or a folder standing for all its modules."""
    return sorted({name.split(".")[1] for name in FILES if name != LAZY} - {"__main__"})


def sources(module: str) -> list[Path]:
    """Files of a top-level module."""
    return [path for name, path in FILES.items() if name.split(".")[1:2] == [module]]


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


def files_imported(name: str) -> set[str]:
    """Modules of the package, each a file, that a module names in its imports."""
    found = set()
    for imported in imported_names(FILES[name]):
        parent = imported.rpartition(".")[0]
        found.add(imported if imported in FILES else parent)
    return found.intersection(FILES) - {name, LAZY}


GRAPHS = {
    "rooms": {module: internal_imports(module) for module in modules()},
    "files": {name: files_imported(name) for name in FILES if name != LAZY},
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_imports_go_in_no_circle(kind: str) -> None:
    try:
        TopologicalSorter(GRAPHS[kind]).prepare()
    except CycleError as circle:
        pytest.fail(f"{kind} import each other in a circle: {' <- '.join(circle.args[1])}")


@pytest.mark.parametrize("name", ROOMS)
def test_init_only_re_exports(name: str) -> None:
    docstring, *statements = ast.parse(FILES[name].read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr), f"{name} does not say what it holds"
    others = [
        ast.unparse(statement)
        for statement in statements
        if not isinstance(statement, ast.ImportFrom)
        and not ast.unparse(statement).startswith("__all__ = ")
    ]
    assert not others, f"{name}: move into a module of its own: {others}"


def test_report_needs_no_torch() -> None:
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
