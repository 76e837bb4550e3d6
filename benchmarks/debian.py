"""Peers that come as Debian packages."""

import shutil
import subprocess
from pathlib import Path

PACKAGE = "prometheus-alertmanager"
BLACKBOX = "prometheus-blackbox-exporter"
HOW_TO_INSTALL = f"not installed; apt-get install {PACKAGE}"
WITHIN_SECONDS = 120


# A path that is compiled into it.
ALERTMANAGERS_TEMPLATE = "/usr/share/prometheus/alertmanager/default.tmpl"


def find_alertmanager(folder: Path) -> list[str] | None:
    """How to call it; None where there is no way."""
    binary = find(PACKAGE, folder)
    return None if binary is None else among_its_files(binary, ALERTMANAGERS_TEMPLATE)


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


def among_its_files(binary: Path, needs: str) -> list[str] | None:
    """How to call a program so that it finds `needs`, a path under /usr/share.

    Unpacked, it is not there: then the package's folder stands in its place, for that process
    alone. None where no process can have a view of its own.
    """
    if Path(needs).exists():
        return [str(binary)]
    mount = 'mount --bind "$0" /usr/share && exec "$@"'
    view = ["unshare", "-rm", "sh", "-c", mount, str(binary.parents[1] / "share")]
    if shutil.which("unshare") is None or not _succeeds([*view, "test", "-e", needs], Path("/")):
        return None
    return [*view, str(binary)]


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
