"""Use pages of the book in a real browser, opened as files or from a server."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NODE = shutil.which("node")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PLAYWRIGHT = ROOT / ".venv" / "node_modules" / "playwright-core"
MISSING = [
    name
    for name, found in {
        "Node.js": NODE,
        "Chromium": BROWSER,
        "playwright-core": PLAYWRIGHT.is_dir(),
        "axe-core": PLAYWRIGHT.with_name("axe-core").is_dir(),
    }.items()
    if not found
]
in_browser = pytest.mark.skipif(
    bool(MISSING), reason=f"needs {', '.join(MISSING)}; scripts/browser installs them"
)
_in_firefox = pytest.mark.skipif(
    FIREFOX is None, reason="needs Firefox; scripts/browser installs it"
)
in_each_browser = pytest.mark.parametrize(
    "browser",
    [
        pytest.param(BROWSER, id="chromium", marks=in_browser),
        pytest.param(FIREFOX, id="firefox", marks=[in_browser, _in_firefox]),
    ],
)


def write_page(chapter: Path, folder: Path) -> str:
    """Write the HTML of a chapter as a page, without the rest of the book; return its address."""
    (block,) = re.findall(r"```\{raw\} html\n(.*?)```", chapter.read_text("utf-8"), re.DOTALL)
    head = f'<!doctype html><meta charset="utf-8"><title>{chapter.stem}</title>'
    page = folder / f"{chapter.stem}.html"
    page.write_text(head + block, encoding="utf-8")
    return page.as_uri()


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def visit(
    program: str,
    address: str,
    *words: object,
    browser: str | None = BROWSER,
    timeout_s: int = 240,
) -> dict[str, Any]:
    """Return what a program of tests/web found on a page, which must not throw.

    The page may ask for nothing but files beside it.
    """
    command = [NODE, ROOT / "tests" / "web" / program, PLAYWRIGHT, browser, address, *words]
    ended = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    assert not result["complaints"]
    remote = [url for url in result["requests"] if not url.startswith(("file:", "blob:", "data:"))]
    assert all(url.startswith(address.rpartition("/")[0]) for url in remote), remote
    return result
