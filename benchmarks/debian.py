"""Peers that come as Debian packages."""

import shutil
import subprocess
from pathlib import Path

PACKAGE = "prometheus-alertmanager"
BLACKBOX = "prometheus-blackbox-exporter"
HOW_TO_INSTALL = f"not installed; apt-get install {PACKAGE}"
WITHIN_SECONDS = 120


def find_alertmanager(folder: Path) -> Path | None:
    return find(PACKAGE, folder)


def find(package: str, folder: Path) -> Path | None:
    """The program of a package that is called alike: the machine's own, else that of the package,
    unpacked into the folder; None without apt.

    It is not installed: that would start a service on a machine where we are guests.
    """
    own = shutil.which(package)
    if own is not None:
        return Path(own)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    download, update = ["apt-get", "download", package], ["apt-get", "update", "-qq"]
    # Without package lists, as containers are made, an update comes first.
    if not (
        _succeeds(download, folder) or (_succeeds(update, folder) and _succeeds(download, folder))
    ):
        return None
    (archive,) = folder.glob(f"{package}_*.deb")
    unpacked = _succeeds(["dpkg-deb", "-x", archive.name, "."], folder)
    return folder / "usr/bin" / package if unpacked else None


def _succeeds(command: list[str], folder: Path) -> bool:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WITHIN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
