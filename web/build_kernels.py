"""Build the kernels for WebAssembly, with and without relaxed SIMD.

python web/build_kernels.py

This needs the C compiler in the package ``ziglang``, in the version below, which produces the same
bytes on every machine.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from eamamba.files import write_atomically

FOLDER = Path(__file__).resolve().parent
SOURCE = FOLDER / "kernels.c"
RECORD = FOLDER / "kernels.json"
"""The source, compiler and options that the committed files were built with."""
ZIG = "0.17.1"
FEATURES = {
    "kernels.wasm": "generic+simd128+bulk_memory",
    "kernels_relaxed.wasm": "generic+simd128+bulk_memory+relaxed_simd",
}
"""File -> the WebAssembly features that it needs."""
OPTIONS = (
    "-target wasm32-freestanding -O3 -nostdlib -fno-sanitize=all -Wall -Wextra -Werror "
    "-Wl,--no-entry -Wl,--strip-all -Wl,--export=__heap_base"
)


def build(target: Path) -> None:
    """Compile the kernels into a folder.

    Raises
    ------
    subprocess.CalledProcessError
        If the compiler rejects the source; the reason is on standard error.
    """
    for name, features in FEATURES.items():
        command = [sys.executable, "-m", "ziglang", "cc", *OPTIONS.split(), f"-mcpu={features}"]
        # a relative name, so that the file contains no folder of this machine
        command += [SOURCE.name, "-o", str(target / name)]
        subprocess.run(command, cwd=FOLDER, check=True)


def record(folder: Path) -> dict[str, object]:
    """Return the compiler, its options and the SHA-256 of the source and of every built file."""
    files = [SOURCE, *(folder / name for name in FEATURES)]
    return {
        "ziglang": ZIG,
        "options": OPTIONS,
        "features": FEATURES,
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        for name in FEATURES:
            write_atomically(FOLDER / name, (Path(folder) / name).read_bytes())
    text = json.dumps(record(FOLDER), indent=2) + "\n"
    write_atomically(RECORD, text.encode())
