"""Peers in venvs of their own: some of their packages would replace ours, or make them slower."""

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
