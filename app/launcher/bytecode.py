"""Our code as bytecode, made once for all processes.

pip does it for what it installs. Where Python may not write bytecode by itself
(PYTHONDONTWRITEBYTECODE, as in most containers), each process would compile all of ours at each
start, which takes longer than what else it does then.
"""

import compileall
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "demo", "models", "tasks")


def compile_ours() -> None:
    """Compiles what has changed. Where the folder can't be written to, nothing is lost but time."""
    for name in FOLDERS:
        compileall.compile_dir(ROOT / name, quiet=2)
