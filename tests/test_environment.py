"""The lock, the conda environment and pyproject.toml tell the same story."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK_LINES = [
    line
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PYTHONS = ["3.11.5", "3.12.0", "3.13.0"]


def pins(python: str, platform: str = "linux") -> dict[str, str]:
    """Name -> version of what the lock installs for one Python on one platform."""
    target = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": platform,
        "platform_machine": "x86_64",
    }
    found = [Requirement(line) for line in LOCK_LINES]
    chosen = [pin for pin in found if pin.marker is None or pin.marker.evaluate(target)]
    names = [canonicalize_name(pin.name) for pin in chosen]
    assert len(set(names)) == len(names), f"pinned twice for Python {python} on {platform}"
    return {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in chosen}


def declared() -> list[Requirement]:
    """Everything pyproject.toml asks for, but mamba-ssm, which is built against a CUDA toolkit."""
    extras = PROJECT["project"]["optional-dependencies"]
    groups = [PROJECT["build-system"]["requires"], PROJECT["project"]["dependencies"]]
    lines = [line for group in [*groups, *extras.values()] for line in group]
    found = [Requirement(line) for line in lines]
    return [each for each in found if each.name not in ("mamba-ssm", "eamamba")]


def test_lock_pins_exact_versions() -> None:
    loose = [
        line
        for line in LOCK_LINES
        if [specifier.operator for specifier in Requirement(line).specifier] != ["=="]
    ]
    assert not loose, f"requirements.lock: not pinned with ==: {loose}"


def test_environment_installs_the_lock_and_nothing_else() -> None:
    (pip_lines,) = [item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict)]
    assert pip_lines == ["-r requirements.lock"]
    # conda hands the lines to pip as a file beside environment.yml, so the path starts there
    assert (ROOT / "requirements.lock").is_file()


def test_environment_has_a_supported_python() -> None:
    (python,) = [item for item in CONDA["dependencies"] if str(item).startswith("python=")]
    assert f"{python.removeprefix('python=')}.5" in supported_pythons()


def supported_pythons() -> SpecifierSet:
    """The range of Python versions that pyproject.toml names."""
    return SpecifierSet(PROJECT["project"]["requires-python"])


def test_supported_pythons_are_the_locked_ones() -> None:
    assert all(python in supported_pythons() for python in PYTHONS)
    assert not any(python in supported_pythons() for python in ("3.10.0", "3.14.0"))


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_pyproject(python: str, platform: str) -> None:
    locked = pins(python, platform)
    for requirement in declared():
        if requirement.marker and not requirement.marker.evaluate({"sys_platform": platform}):
            continue
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements.lock: make lock"
        assert version in requirement.specifier, f"{requirement}, but the lock has {version}"


def test_hashes_are_those_of_the_lock() -> None:
    text = (ROOT / "requirements.hashes").read_text(encoding="utf-8")
    entries = [line for line in text.splitlines() if line and line[0] not in " #"]
    pinned = sorted(entry.removesuffix("\\").strip() for entry in entries)
    assert pinned == sorted(line for line in LOCK_LINES if not line.startswith("torch=="))
    assert all(entry.endswith("\\") for entry in entries), "a pin without hashes"
    hashes = [line.strip(" \\") for line in text.splitlines() if line.startswith(" ")]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes)


def test_restoring_needs_no_extra() -> None:
    """Loading, restoring, scoring and describing work with the dependencies alone."""
    code = (
        "import sys; from importlib.metadata import packages_distributions as d; "
        "import eamamba.cli.program, eamamba.cli.batch, eamamba.cli.doctor, eamamba.cli.models, "
        "eamamba.cli.scoring, eamamba.checkpoint, eamamba.restore, eamamba.evaluation; "
        "names = d(); print(*{p for m in sys.modules for p in names.get(m.split('.')[0], [])})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*extras["experiments"], *extras["hub"], *extras["pipeline"]]
    needless = {Requirement(line).name for line in lines} - {"eamamba"}
    assert not needless & {canonicalize_name(name) for name in loaded.stdout.decode().split()}


def test_lock_leaves_cuda_to_torch() -> None:
    cuda = [name for name in pins("3.12.0") if name.startswith(("cuda-", "nvidia-"))]
    assert not cuda, "CUDA packages belong to a CUDA build of torch"


def test_the_image_gets_what_it_copies() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ")]
    copied = {name for line in lines for name in line if not line[0].startswith("--from")}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)


def third_party_imports() -> set[str]:
    """First names of everything the package imports that is neither its own nor Python's."""
    names: set[str] = set()
    for path in (ROOT / "eamamba").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"eamamba"}


def test_imports_are_declared() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    used = ("gpu", "experiments", "export", "hub")
    lines = [*project["dependencies"], *(line for extra in used for line in extras[extra])]
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    # mamba-ssm's extension is on no CPU machine that could say where it comes from
    providers = {"selective_scan_cuda": ["mamba-ssm"], **packages_distributions()}
    undeclared = {
        module
        for module in third_party_imports()
        if not names & {canonicalize_name(name) for name in providers.get(module, [module])}
    }
    assert not undeclared, f"imported but not declared in pyproject.toml: {sorted(undeclared)}"
