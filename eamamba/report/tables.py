"""Tables for readers, from files under ``results/`` or ``data/paper/``."""

from __future__ import annotations

import pandas as pd

from eamamba.report.scores import REPORTED

HEADLINE = {"eamamba": "EAMamba", "baseline_2dssm": "baseline 2DSSM"}
"""Id of each network whose cost the paper prints -> its name in figures."""


def complexity_table(counted: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Set our counts next to those for the authors' implementation, network by network.

    Parameters
    ----------
    counted : DataFrame
        ``complexity.csv``: network, size (pixels), parameters, gflops.
    paper : DataFrame
        ``data/paper/complexity.csv``: network, label, input, params_m, gflops, source.
    """
    theirs = paper[paper["source"] == "measured on the original code"].set_index("network")
    theirs = theirs.rename(columns={"gflops": "gflops_paper"})
    both = counted.set_index("network").join(theirs, how="inner")
    return pd.DataFrame(
        {
            "Network": both["label"].tolist(),
            "Input": both["input"].str.replace("x", "×"),
            "Parameters, M": [f"{n / 1e6:.3f}" for n in both["parameters"]],
            "Parameters, M (authors' code)": [f"{n:.3f}" for n in both["params_m"]],
            "GFLOPs": [f"{n:.2f}" for n in both["gflops"]],
            "GFLOPs (authors' code)": [f"{n:.2f}" for n in both["gflops_paper"]],
        }
    )


def headline_table(counted: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Set our counts for the paper's two networks next to the numbers the paper reports.

    The parameters are those of `complexity_table`.
    """
    ours = counted.set_index("network")
    theirs = paper[paper["source"] == "reported"].set_index("network")
    rows = []
    for network, label in HEADLINE.items():
        parameters, gflops = ours.loc[network, "parameters"], ours.loc[network, "gflops"]
        printed = theirs.loc[network]
        rows += [
            {
                "Network": label,
                "Source": "counted here",
                "Parameters, M": f"{parameters / 1e6:.1f}",
                "GFLOPs": f"{gflops:.1f}",
            },
            {
                "Network": label,
                "Source": REPORTED,
                "Parameters, M": f"{printed['params_m']:g}",
                "GFLOPs": f"{printed['gflops']:g}",
            },
        ]
    return pd.DataFrame(rows)


def photograph_table(manifest: pd.DataFrame) -> pd.DataFrame:
    """List the photographs of a task, with their use, size and origin.

    Parameters
    ----------
    manifest : DataFrame
        ``training_images.csv``, ``test_images.csv`` or both: split, image, height, width, sha256,
        credit, licence, source.
    """
    size = manifest["width"].astype(str) + "×" + manifest["height"].astype(str)
    credit = [
        f"[{row.credit}]({row.source}), {row.licence}" if row.source else "–"
        for row in manifest.astype(object).fillna("").itertuples()
    ]
    return pd.DataFrame(
        {
            "Photograph": manifest["image"].str.replace("_", " "),
            "Used for": manifest["split"],
            "Pixels": size,
            "By, licence": credit,
        }
    )


def format_columns(table: pd.DataFrame, columns: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Choose, rename and format columns.

    Parameters
    ----------
    table : DataFrame
    columns : dict of str to (str, str)
        Name in ``table`` -> heading, number format; names that the table lacks are skipped.

    Returns
    -------
    DataFrame
        Text cells, with "–" for missing values.
    """
    shown = {
        heading: [("–" if pd.isna(x) else format(x, form)) for x in table[name]]
        for name, (heading, form) in columns.items()
        if name in table
    }
    return pd.DataFrame(shown)


def markdown(table: pd.DataFrame) -> str:
    """Format a table in Markdown, with numbers aligned right."""
    numeric = [_looks_numeric(table[name]) for name in table]
    lines = [
        "| " + " | ".join(str(name).strip() for name in table) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    for row in table.itertuples(index=False):
        cells = (str(value).replace("|", "\\|").replace("\n", " ") for value in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _looks_numeric(column: pd.Series) -> bool:
    return all(str(v).lstrip("−-+").replace(".", "", 1).isdigit() or v == "–" for v in column)
