"""Record what each notebook runs: hashes of the notebook and of all package code that it loads.

    python pipeline/sources.py FOLDER

Stages depend on their notebook's list, so a change of code makes exactly the stages that run it
stale, and nobody has to list modules.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
from pathlib import Path

import nbformat
import yaml
from IPython.core.inputtransformer2 import TransformerManager

from eamamba import paths
from eamamba.files import write_atomically

RUNNER = "pipeline/run.py"
OPERATOR, BACKEND = "eamamba/selective_scan/operator.py", "eamamba.selective_scan.cpu"
"""The operator loads a backend by name; committed results come from this one."""
plain = TransformerManager().transform_cell
NO_DEPENDENCY = {"eamamba/__init__.py", "eamamba/training/validation.py"}
"""A version string and names that are loaded on first use, and scores while a network is trained:
results do not depend on them."""


def imports(source: str) -> set[str]:
    """Return the dotted names in the package that a piece of code imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "eamamba"}


def modules_behind(notebook: Path, root: Path) -> list[str]:
    """Return the files of the package that a notebook loads, directly or indirectly, sorted.

    Parameters
    ----------
    notebook : Path
    root : Path
        The folder that holds the package.
    """
    cells = nbformat.read(notebook, as_version=4).cells
    code = [plain(cell.source) for cell in cells if cell.cell_type == "code"]  # no %magics
    waiting = set().union(*map(imports, code))
    files: set[str] = set()
    while waiting:
        path = _file_of(waiting.pop(), root)
        name = path.relative_to(root).as_posix() if path else ""
        if path and name not in files | NO_DEPENDENCY:
            files.add(name)
            waiting |= imports(path.read_text(encoding="utf-8"))
            if name == OPERATOR:
                waiting |= {BACKEND, *_submodules(BACKEND, root)}
    return sorted(files)


def _file_of(name: str, root: Path) -> Path | None:
    """Return the file of a module; None if the name is something inside a module."""
    base = root.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _submodules(name: str, root: Path) -> set[str]:
    return {f"{name}.{path.stem}" for path in root.joinpath(*name.split(".")).glob("*.py")}


def hashes(notebook: Path, root: Path) -> dict[str, str]:
    """Return path -> SHA-256 for a notebook, the script that runs it, and the code it loads."""
    names = [notebook.relative_to(root).as_posix(), RUNNER, *modules_behind(notebook, root)]
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names}


def main() -> None:
    """Write one list per notebook."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write one file per notebook to")
    folder = parser.parse_args().folder
    root = paths.project_root()
    for notebook in sorted((root / "notebooks").glob("*.ipynb")):
        text = yaml.safe_dump(hashes(notebook, root), sort_keys=False)
        write_atomically(folder / f"{notebook.stem}.yaml", text.encode())


if __name__ == "__main__":
    main()
