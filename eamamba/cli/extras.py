"""The optional dependencies, as the metadata of the installed package lists them."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version

EXTRAS = ("experiments", "export", "hub", "tensorboard", "pipeline")


def packages_of(extra: str) -> list[str]:
    """Return the packages that an extra requires."""
    try:
        lines = requires("eamamba") or []
    except PackageNotFoundError:
        return []
    found = [re.match(r"[\w.-]+", line) for line in lines if re.search(rf"extra == .{extra}", line)]
    return [match[0] for match in found if match and match[0] != "eamamba"]


def extra_with(module: str) -> str | None:
    """Return the extra that provides a module, None if none does."""
    package = module.partition(".")[0].replace("_", "-").lower()
    return next((extra for extra in EXTRAS if package in packages_of(extra)), None)


def is_installed(package: str) -> bool:
    """Return whether a package is installed, without importing it."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
