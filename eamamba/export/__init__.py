"""Networks for other programs: ONNX models and programs of `torch.export`.

`trace` makes a graph for any size of image. `onnx_graph` translates it to ONNX, with the scan
orders from `orders` and the selective scan from `onnx_scan`. `check` runs exported files.
"""

from __future__ import annotations

from eamamba.export.check import CHECKED, TOLERANCE, largest_difference
from eamamba.export.errors import ExportError
from eamamba.export.files import FORMATS, Format, check_possible, export, round_to_half

__all__ = [
    "CHECKED",
    "FORMATS",
    "TOLERANCE",
    "ExportError",
    "Format",
    "check_possible",
    "export",
    "largest_difference",
    "round_to_half",
]
