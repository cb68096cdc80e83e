"""The effect of the weights in the package on pictures without their degradation.

    python benchmarks/harm.py --csv results/pretrained/harm.csv [NAME ...]

With names, only the rows of these weights are replaced. Limits, in 8-bit units:

- flat pictures: the mean of each channel changes by at most 1 (colour shift);
- flat and graded pictures: no step between neighbouring pixels exceeds that of the input by more
  than 2 (a mosaic, or a seam, since they are restored in tiles);
- clean photographs, for denoisers: PSNR against a clean photograph is infinite for the photograph
  itself, so no output can be "at most 0.1 dB below". The photograph gets noise with σ = 5 instead,
  which is barely visible, and the output must not be more than 0.1 dB below that input.

PSNR of the output against the input is measured on all pictures with content and has no limit:
weights that sharpen, or that expect rain or haze, change them, and the cards say how much. The last
row is the PSNR between the outputs in bfloat16 and in float32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor

from eamamba import paths
from eamamba.checkpoint import load_model, read_header
from eamamba.evaluation import without_network
from eamamba.evaluation.metrics import psnr
from eamamba.files import write_atomically
from eamamba.images import Photo, read_image
from eamamba.network import Network
from eamamba.restore import InBfloat16, restore_photo

ROOT = Path(__file__).resolve().parents[1]
SHIFT_LIMIT_255, STRUCTURE_LIMIT_255, LOSS_LIMIT_DB = 1.0, 2.0, 0.1
SLIGHT_NOISE_255 = 5.0
TILE = 64
PHOTOGRAPHS = 3
FLAT = {"black": 0.0, "dark gray": 0.25, "middle gray": 0.5, "white": 1.0}
MEASURES = ("colour_shift_255", "structure_255", "psnr_db", "gain_db")


def flat_pictures() -> dict[str, Tensor]:
    """Return pictures of a single colour, (3, 96, 128)."""
    gray = {name: torch.full((3, 96, 128), value) for name, value in FLAT.items()}
    orange = torch.tensor([0.9, 0.5, 0.1])[:, None, None].expand(3, 96, 128)
    return gray | {"orange": orange.contiguous()}


def graded_pictures() -> dict[str, Tensor]:
    """Return a smooth sky and a strip of 8000×40 pixels, without any edge."""
    across = torch.linspace(0, 1, 192)
    sky = torch.stack([across.expand(128, 192) * 0.5 + across[:128, None] * 0.5] * 3)
    strip = torch.linspace(0, 1, 8000).expand(3, 40, 8000)
    return {"gradient": sky, "strip of 8000×40": strip.contiguous()}


def pictures_with_content() -> dict[str, Tensor]:
    """Return a screenshot with text, a night scene and clean photographs."""
    files = sorted((ROOT / "data/photographs/held_out").glob("*.webp"))[:PHOTOGRAPHS]
    photographs = {
        f"clean photograph {number}": read_image(file)[:, :192, :192]
        for number, file in enumerate(files, start=1)
    }
    return {"screenshot": _screenshot(), "night scene": _night(read_image(files[0]))} | photographs


def _screenshot() -> Tensor:
    """Draw windows with text, in one-pixel strokes at full contrast."""
    page = Image.new("RGB", (256, 192), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, 256, 22), (32, 74, 135))
    draw.text((6, 3), "Untitled document", "white", ImageFont.load_default(13))
    for line in range(9):
        text = "The quick brown fox jumps over the lazy dog 0123456789"
        draw.text((8, 30 + 15 * line), text[line:], "black", ImageFont.load_default(8 + line % 4))
    draw.rectangle((20, 168, 90, 186), None, (120, 120, 120))
    return torch.from_numpy(np.array(page)).permute(2, 0, 1) / 255


def _night(photograph: Tensor) -> Tensor:
    """Darken a photograph to a twentieth of its light and add lamps."""
    dark = (photograph[:, :192, :256] ** 2.2 / 20) ** (1 / 2.2)
    rows, columns = torch.meshgrid(torch.arange(192.0), torch.arange(256.0), indexing="ij")
    for top, left in ((30, 40), (60, 200), (150, 120)):
        lamp = torch.exp(-((rows - top) ** 2 + (columns - left) ** 2) / 30)
        dark = torch.maximum(dark, lamp * torch.tensor([1.0, 0.9, 0.6])[:, None, None])
    return dark


def restored(model: Network | InBfloat16, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return a picture without and with the network applied."""
    before = without_network(picture, model.upscale)
    photo = Photo(picture)
    right = photo if model.settings.inp_channels == 6 else None  # views are equal in focus
    return before, restore_photo(model, photo, right=right, tile=TILE).rgb


def harm_to(model: Network, name: str, picture: Tensor, *, is_denoiser: bool) -> dict[str, object]:
    """Measure one picture: a row of the table, without the name of the weights."""
    before, after = restored(model, picture)
    row: dict[str, object] = {"image": name}
    exceeded = []
    if name in flat_pictures():
        shift = 255 * float((after.mean((1, 2)) - before.mean((1, 2))).abs().max())
        row["colour_shift_255"] = shift
        exceeded += ["colour shift"] if shift > SHIFT_LIMIT_255 else []
    if name in flat_pictures() or name in graded_pictures():
        row["structure_255"] = structure = _structure(before, after)
        exceeded += ["structure"] if structure > STRUCTURE_LIMIT_255 else []
    else:
        row["psnr_db"] = psnr(after, before)
    if is_denoiser and name.startswith("clean photograph"):
        noise = torch.randn(picture.shape, generator=Generator().manual_seed(0))
        noisy, cleaned = restored(model, picture + noise * SLIGHT_NOISE_255 / 255)
        row["gain_db"] = gain = psnr(cleaned, picture) - psnr(noisy, picture)
        exceeded += ["loss on a clean photograph"] if gain < -LOSS_LIMIT_DB else []
    return row | {"exceeds": "; ".join(exceeded)}


def _structure(before: Tensor, after: Tensor) -> float:
    """Return the largest step between neighbours that the input did not have, in 8-bit units."""
    steps = ((after - before).diff(dim=axis).abs().max() for axis in (-1, -2))
    return 255 * float(max(steps))


def harm(name: str) -> pd.DataFrame:
    """Measure all pictures with the weights of one name."""
    file = paths.PRETRAINED / f"{name}.safetensors"
    model = load_model(file)
    is_denoiser = str(read_header(file)["task"]).startswith("denoise")
    pictures = flat_pictures() | graded_pictures() | pictures_with_content()
    rows = [harm_to(model, key, each, is_denoiser=is_denoiser) for key, each in pictures.items()]
    columns = ["weights", "image", *MEASURES, "exceeds"]
    name_of_photograph, photograph = list(pictures.items())[-1]
    outputs = (restored(each, photograph)[1] for each in (model, InBfloat16(model)))
    rows.append({"image": f"{name_of_photograph}, bfloat16 to float32", "psnr_db": psnr(*outputs)})
    return pd.DataFrame(rows).assign(weights=name).reindex(columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shipped = sorted(path.stem for path in paths.PRETRAINED.glob("*.safetensors"))
    parser.add_argument("names", nargs="*", help="weights in the package; default: all")
    parser.add_argument("--csv", type=Path, help="CSV file for all figures")
    arguments = parser.parse_args()
    tables = {}
    for name in arguments.names or shipped:
        tables[name] = harm(name)
        print(tables[name].drop(columns="weights").to_string(index=False, float_format="%.2f"))
    if arguments.csv:
        kept = pd.read_csv(arguments.csv) if arguments.csv.is_file() else pd.DataFrame()
        if not kept.empty:
            kept = kept[kept["weights"].isin(shipped) & ~kept["weights"].isin(tables)]
        together = pd.concat([kept, *tables.values()]).sort_values("weights", kind="stable")
        text = together.to_csv(index=False, lineterminator="\n", float_format="%.4g")
        write_atomically(arguments.csv, text.encode())


if __name__ == "__main__":
    main()
