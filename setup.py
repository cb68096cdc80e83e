"""Puts params.yaml into the wheel, for the protocols of the paper; the rest is pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithSettings(build_py):
    """Copies one more file; an editable install finds it beside the package."""

    def run(self) -> None:
        """Build the package."""
        super().run()
        if not self.editable_mode:
            self.copy_file("params.yaml", str(Path(self.build_lib, "eamamba", "params.yaml")))


setup(cmdclass={"build_py": WithSettings})
