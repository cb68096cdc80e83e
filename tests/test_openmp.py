"""How idle threads wait: chosen by programs, before PyTorch is loaded, unless the user has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eamamba.openmp import SPIN_COUNT

ROOT = Path(__file__).parents[1]
SHOW = "import os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"


def waiting(code: str, **variables: str) -> str:
    """Return both variables as they are after some code, in a process of its own."""
    names = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    usual = {name: value for name, value in os.environ.items() if name not in names}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOW}"],
        env=usual | {"PYTHONPATH": paths} | variables,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.splitlines()[-1]


COMMAND = "from eamamba.cli import main; main(['--version'])"


def test_the_command_line_chooses() -> None:
    assert waiting(COMMAND) == f"{SPIN_COUNT} None"


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
@pytest.mark.parametrize("value", ["active", ""])
def test_the_choice_of_the_user_stays(name: str, value: str) -> None:
    assert waiting(COMMAND, **{name: value}) == waiting("", **{name: value})


def test_the_library_chooses_nothing() -> None:
    assert waiting("import eamamba; eamamba.load_model") == "None None"


def test_nothing_is_chosen_too_late() -> None:
    assert waiting(f"import torch; {COMMAND}") == "None None"


def test_the_command_line_chooses_before_pytorch_is_loaded() -> None:
    loaded = "import sys; from eamamba.cli import main; assert 'torch' not in sys.modules"
    assert waiting(loaded) == "None None"
    stage = f"import sys; sys.path.append({str(ROOT / 'pipeline')!r}); import run"
    assert waiting(f"{stage}; assert 'torch' not in sys.modules") == "None None"
