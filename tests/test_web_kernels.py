"""The committed WebAssembly is what the compiler makes of the committed source."""

from __future__ import annotations

import importlib.metadata
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from build_kernels import FEATURES, FOLDER, RECORD, ZIG, build, record


def test_files_belong_to_the_source_and_the_options() -> None:
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    assert record(FOLDER) == recorded, "run python web/build_kernels.py"


@pytest.mark.skipif(
    find_spec("ziglang") is None or importlib.metadata.version("ziglang") != ZIG,
    reason=f"needs the C compiler: pip install ziglang=={ZIG}",
)
def test_the_compiler_makes_the_same_bytes(tmp_path: Path) -> None:
    build(tmp_path)
    for name in FEATURES:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
