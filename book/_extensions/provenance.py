"""A quiet line under each figure and table: stage, profile, commit, hardware, notebook, data."""

from __future__ import annotations

from collections.abc import Container, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from docutils import nodes
from history import History, read_history
from sphinx import addnodes

DATA = {".csv", ".json"}
MOST_LINKS = 3
"""If there are more files than this, their pattern is given."""
_REAL_PAIRS = "results/pretrained/real_pairs/summary.csv"
SOURCES = {
    "architecture/*": ("eamamba/config/model.py",),
    "*/all_scores.md": ("{folder}/metrics.json", "{folder}/per_image.csv"),
    "*/gain_by_input.png": ("{folder}/per_image.csv",),
    "*/reported.md": ("data/paper/paper_results.csv",),
    "glance.*": ("results/{profile}/*/metrics.json",),
    "longer_training.md": ("results/{profile}/*/metrics.json", "results/pretrained/*/metrics.json"),
    "paper.md": ("data/paper/paper_results.csv",),
    "real_pairs.md": ("results/*/real_pairs/summary.csv", "results/*/real_pairs/per_image.csv"),
    "runs.md": ("dvc.yaml",),
    "chapters/*.md": ("results/{profile}/*/metrics.json", "results/{profile}/*/per_image.csv"),
    "models.md": ("eamamba/cards/cards.json",),
    "claims.md": ("results/{profile}/*/*.csv", "results/{profile}/ablations/*/metrics.json"),
    "claims_benchmarks.md": (_REAL_PAIRS, "data/paper/paper_results.csv"),
    "claims_checks.md": ("results/benchmarks/claims_cpu.csv",),
    "claims_cost.png": ("results/{profile}/profiling/complexity.csv", "data/paper/complexity.csv"),
    "claims_figures.md": (_REAL_PAIRS, "data/paper/*.csv"),
    "photographs/credits.md": ("data/photographs/CREDITS.csv",),
    "profiling/*.md": ("{folder}/complexity.csv", "data/paper/complexity.csv"),
    "scan_orders/*.md": ("{folder}/neighbour_steps.csv",),
    "protocols/*.md": ("{folder}/differences.csv",),
    "ablations/*_reported.md": ("data/paper/ablations.csv",),
    "ablations/areas.md": ("results/{profile}/ablation_fields/areas.csv",),
    "ablations/*": ("{folder}/*/metrics.json", "{folder}/*/complexity.csv"),
    "artifact_needs.md": (
        "results/{profile}/profiling/complexity.csv",
        "results/benchmarks/network_gpu.csv",
    ),
    "benchmarks/block_cpu.md": ("results/benchmarks/growth_cpu.csv",),
    "benchmarks/growth*": ("results/benchmarks/growth_cpu.csv",),
    "benchmarks/large_*": ("results/benchmarks/large_image_cpu.csv",),
    "benchmarks/onnx_*": ("results/benchmarks/onnx_cpu.csv",),
    "benchmarks/scan_cpu*": ("results/benchmarks/scan_cpu.csv",),
    "benchmarks/scan_rivals*": ("results/benchmarks/scan_cpu.csv",),
    "benchmarks/*": ("results/benchmarks/{stem}.csv",),
}
"""Tables and figures made by the book itself: path in ``book/results`` -> the files that they are
made from; the first matching pattern applies. Everything else there comes from a stage of the
pipeline."""


class Results:
    """The origin of the files in ``book/results``.

    Parameters
    ----------
    root : Path
        The project's folder, with ``dvc.lock`` and ``results/``.
    profile : str
        The profile whose results the book shows.
    repository : str or None
        The public address of the repository, for links to commits.
    """

    def __init__(self, root: Path, profile: str, repository: str | None = None) -> None:
        self.root, self.profile, self.repository = root, profile, repository
        lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        self.outputs = {
            stage: [out["path"] for out in found.get("outs", [])] for stage, found in lock.items()
        }
        self.stages = {path: stage for stage, paths in self.outputs.items() for path in paths}
        self.history: History = read_history(root, "results", "data", "eamamba/cards")

    def line(self, path: str, pages: Container[str] = ()) -> list[nodes.Node]:
        """Return a line on the origin of a file.

        Parameters
        ----------
        path : str
            Path of the file in ``book/results``.
        pages : container of str
            The pages of the book: an executed notebook that is not among them is linked as a
            download.

        Returns
        -------
        list of Node
            Parts of the line; none for a file of unknown origin.
        """
        stage = self.stages.get(f"results/{self.profile}/{path}")
        if stage is None:
            return self._made_by_book(path)
        outputs = self.outputs[stage]
        words = [nodes.Text("Stage "), nodes.literal(text=stage)]
        made = nodes.inline("", "", *words, nodes.Text(f" of the profile {self.profile}"))
        notebooks = [self._notebook(path, pages) for path in outputs if path.endswith(".ipynb")]
        data = [_download(path) for path in outputs if Path(path).suffix in DATA]
        return [made, *self._commit(outputs), *notebooks, *data]

    def _made_by_book(self, path: str) -> list[nodes.Node]:
        found = {pattern: self._files(pattern) for pattern in self._patterns(path)}
        paths = [path for files in found.values() for path in files]
        links = [link for pattern, files in found.items() for link in _links(pattern, files)]
        return [*links, *self._commit(paths), *self._hardware(paths)]

    def _notebook(self, path: str, pages: Container[str]) -> nodes.Node:
        page = f"results{path.removeprefix(f'results/{self.profile}').removesuffix('.ipynb')}"
        if page not in pages:
            return _download(path, "executed notebook")
        return addnodes.pending_xref(
            "", nodes.inline(text="executed notebook"), refdomain="std", reftype="doc",
            reftarget=f"/{page}", refexplicit=True, refwarn=True,
        )  # fmt: skip

    def age(self) -> str:
        """Return a line for the foot of every page on the results that the book shows."""
        files = [path for path in self.history.commits if path.startswith("results/")]
        commit = self.history.youngest(files)
        if commit is None:
            return f"Results of the profile {self.profile}, not committed or of unknown age."
        return f"Results of commit {commit.digits}, {commit.date}, profile {self.profile}."

    def _patterns(self, path: str) -> list[str]:
        """Return the patterns of the files that a table or figure of the book is made from."""
        for made, sources in SOURCES.items():
            if fnmatchcase(path, made):
                folder = f"results/{self.profile}/{Path(path).parent.as_posix()}"
                words = {"folder": folder, "profile": self.profile, "stem": Path(path).stem}
                return [source.format(**words) for source in sources]
        return []

    def _files(self, pattern: str) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.glob(pattern))

    def _commit(self, paths: Iterable[str]) -> list[nodes.Node]:
        commit = self.history.youngest(paths)
        if commit is None:
            return []
        digits: nodes.Node = nodes.literal(text=commit.digits)
        if self.repository:
            address = f"{self.repository}/commit/{commit.digits}"
            digits = nodes.reference("", "", digits, refuri=address)
        of = nodes.Text(f", {commit.date}")
        return [nodes.inline("", "", nodes.Text("commit "), digits, of)]

    def _hardware(self, paths: Iterable[str]) -> list[nodes.Node]:
        """Return the hardware of benchmarks, which their tables state in every row."""
        found: set[str] = set()
        for path in paths:
            if path.startswith("results/benchmarks/"):
                table = pd.read_csv(self.root / path)
                found |= set(table[table.columns.intersection(["processor", "device"])].stack())
        return [nodes.Text(f"measured on {', '.join(sorted(found))}")] if found else []


def add_lines(app: Any, doctree: nodes.document) -> None:
    """Add a line of origin to each figure and table of a page that comes from the results."""
    results: Results = app.results_known
    folder, page = Path(app.srcdir) / "results", app.env.docname
    if page.startswith("results/"):
        path = page.removeprefix("results/")
        doctree += _paragraph(results.line(f"{path}.ipynb"))
        return
    for figure in list(doctree.findall(nodes.figure)):
        uri = next(iter(figure.findall(nodes.image)))["uri"]
        path = Path(app.srcdir, app.env.relfn2path(uri)[0])
        if path.is_relative_to(folder):
            path = path.relative_to(folder).as_posix()
            _insert_after(figure, results.line(path, app.env.found_docs))
    for number, table in enumerate(list(doctree.findall(nodes.table))):
        path = Path(table.source or "")
        if path.is_relative_to(folder):
            file = path.with_name(f"{path.stem}_table_{number}.csv")
            _write_csv(table, file)
            link = _download(f"book/{file.relative_to(app.srcdir).as_posix()}", "this table as CSV")
            line = results.line(path.relative_to(folder).as_posix(), app.env.found_docs)
            _insert_after(table, [link, *line])


def _write_csv(table: nodes.table, path: Path) -> None:
    rows = [
        [cell.astext() for cell in row.findall(nodes.entry)] for row in table.findall(nodes.row)
    ]
    pd.DataFrame(rows[1:], columns=rows[0]).to_csv(path, index=False, encoding="utf-8")


def _links(pattern: str, files: list[str]) -> list[nodes.Node]:
    """Return a link to each file, or the pattern if there are too many."""
    if len(files) > MOST_LINKS:
        return [nodes.literal(text=pattern)]
    return [_download(path) for path in files]


def _download(path: str, text: str | None = None) -> nodes.Node:
    """Return a download link to a file, given relative to the project's folder."""
    return addnodes.download_reference(
        "", "", nodes.Text(text or _name(path)), reftarget=f"/../{path}", refexplicit=True
    )


def _name(path: str) -> str:
    """Return a file's name, with its folder if the paper's figures could be mistaken for ours."""
    return path.removeprefix("data/") if path.startswith("data/") else Path(path).name


def _paragraph(parts: list[nodes.Node]) -> nodes.paragraph:
    line = nodes.paragraph(classes=["provenance"])
    for number, part in enumerate(parts):
        line += [nodes.Text(" · "), part] if number else part
    return line


def _insert_after(node: nodes.Element, parts: list[nodes.Node]) -> None:
    if parts:
        node.parent.insert(node.parent.index(node) + 1, _paragraph(parts))
