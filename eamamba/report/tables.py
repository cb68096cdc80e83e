"""Tables for readers, from files under ``results/`` or ``data/paper/``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from eamamba.report.scores import REPORTED, after_comma, format_with_sign, gain_interval

HEADLINE = {"eamamba": "EAMamba", "baseline_2dssm": "baseline 2DSSM"}
"""Id of each network whose cost the paper reports -> its name in figures."""


def complexity_table(counted: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Put our counts beside those of the authors' implementation, network by network.

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
    """Put our counts for the paper's two networks beside the numbers that the paper reports.

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


def protocol_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Format the effect of other protocols: the mean and, in brackets, the range over the images.

    Parameters
    ----------
    differences : DataFrame
        scale, protocol, psnr_change_db, ssim_change; one row per image.
    """
    rows = []
    for (scale, protocol), part in differences.groupby(["scale", "protocol"], sort=False):
        row = {"Enlarged": f"×{scale}", "Scored as": protocol}
        for name, heading, form in (
            ("psnr_change_db", "Change of PSNR, dB", "{:+.3f}"),
            ("ssim_change", "Change of SSIM", "{:+.4f}"),
        ):
            mean, low, high = (
                form.format(value).replace("-", "−")
                for value in (part[name].mean(), part[name].min(), part[name].max())
            )
            row[heading] = f"{mean} ({low} to {high})"
        rows.append(row)
    return pd.DataFrame(rows)


def real_pairs_table(summary: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Format the scores on real pairs for readers.

    Parameters
    ----------
    summary : DataFrame
        As returned by `eamamba.evaluation.real_pairs.summarise`.
    titles : mapping
        Task and its title.
    """
    return pd.DataFrame(
        {
            "Degradation": summary["task"].map(titles),
            "Set": summary["benchmark"] + summary["condition"].map(after_comma),
            "Images": summary["images"],
            "Input, dB": summary["psnr_input_db"].map("{:.2f}".format),
            "Restored, dB": summary["psnr_db"].map("{:.2f}".format),
            "Gain, dB": summary["gain_db"].map(format_with_sign),
            "95 % interval": gain_interval(summary),
            "Worse": summary["worse"],
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
    """Format a table as Markdown, with numbers aligned right."""
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
