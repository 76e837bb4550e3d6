"""Peers that are Python packages, each in a virtual environment of its own.

Installed beside ours, some replace what we use, and the figures are of something else.
"""

import subprocess
import sys
from pathlib import Path

WITHIN_SECONDS = 120


def make(folder: Path, *packages: str) -> Path | None:
    """The interpreter of a new environment with these packages; None where pip can't get them."""
    home = folder / f"venv-{packages[0]}"
    python = home / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", *packages],
    ):
        try:
            done = subprocess.run(command, capture_output=True, timeout=WITHIN_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0:
            return None
    return python
