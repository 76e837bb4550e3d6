"""Programs of others that come as Debian packages: unpacked into a folder, not installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.debian import find

KEPT_IN = "tocsin-debian-programs"


def program(package: str, name: str) -> Path:
    """The program of that name from a package; skips the test, with the reason, without it.

    The folder is kept for the next session: a download costs seconds.
    """
    folder = Path(tempfile.gettempdir()) / KEPT_IN / package
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "usr/bin" / name
    if not kept.exists():
        found = find(package, folder)
        kept = kept if found is None else found.parent / name
    if not kept.exists():
        pytest.skip(f"{name} is not here: apt can't give the package {package}")
    return kept


def among_its_files(binary: Path, needs: str, command: Sequence[str]) -> list[str]:
    """The command so that it finds `needs`, a path under /usr/share that is compiled into it.

    Unpacked, it is not there: then the package's folder stands in its place, for that process
    alone. Skips the test, with the reason, where no process can have a view of its own.
    """
    if Path(needs).exists():
        return list(command)
    mount = 'mount --bind "$0" /usr/share && exec "$@"'
    view = ["unshare", "-rm", "sh", "-c", mount, str(binary.parents[1] / "share")]
    if shutil.which("unshare") is None or not _succeeds([*view, "test", "-e", needs]):
        pytest.skip(f"{binary.name} needs {needs}, and no mount namespace can be made here")
    return [*view, *command]


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
