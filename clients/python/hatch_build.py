"""Generates the stubs before the package is built. A source distribution has them already, and not the protos."""

import pathlib
import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Generate(BuildHookInterface[Any]):
    """Runs `scripts/generate` in a checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See the base class."""
        root = pathlib.Path(self.root)
        if (root / "../../proto").is_dir():
            subprocess.run([sys.executable, root / "scripts/generate"], check=True)
