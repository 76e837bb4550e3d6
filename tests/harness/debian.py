"""Programs of others that come as Debian packages: unpacked into a folder, not installed."""

import tempfile
from pathlib import Path

import pytest

from benchmarks.debian import among_its_files, find

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


def called(binary: Path, needs: str) -> list[str]:
    """How to call it so that it finds `needs`; skips the test, with the reason, where it can't."""
    found = among_its_files(binary, needs)
    if found is None:
        pytest.skip(f"{binary.name} needs {needs}, and no mount namespace can be made here")
    return found
