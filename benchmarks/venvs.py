"""Peers that are Python packages, each in a virtual environment of its own.

Installed beside ours, some replace what we use, and the figures are of something else.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / ".venvs"


class NotInstalled(Exception):
    """The venv could not be made, as without a network."""


def python_of(name: str, requirements: Path) -> Path:
    """The interpreter of the venv `name` with these requirements; made if it is not there.

    Raises NotInstalled.
    """
    venv = FOLDER / name
    python, done = venv / "bin" / "python", venv / "installed.txt"
    wanted = requirements.read_text()
    if done.exists() and done.read_text() == wanted:
        return python
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)],
    ]
    for command in commands:
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise NotInstalled(error.stderr.strip()[-500:]) from error
    done.write_text(wanted)
    return python


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
