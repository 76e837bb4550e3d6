"""This machine: DATA_DIR, its disk, and the ports."""

import os
import shutil
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from app.cli.client import Api
from app.cli.doctor.finding import Findings, fail, ok, warn
from app.cli.exits import Failure
from app.settings import LaunchSettings, Settings

GIB = 1024**3
LOW_BYTES, LOW_PART = 2 * GIB, 0.10
TOO_LOW_BYTES = GIB // 4
API_TIMEOUT_SECONDS = 5.0
# Who is not root or us may at most pass through DATA_DIR, as the embedded servers' account does.
OPEN_TO_OTHERS = 0o066
PRIVATE = ("admin-password", "run/settings.env", "run/login.json")


def data_dir(folder: Path) -> Findings:
    """Closed to others, and ours to write."""
    name = "data-dir"
    if not folder.exists():
        yield warn(name, f"{folder} is not there.", "`make run` makes it; or set DATA_DIR.")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fail(
            name,
            f"{folder} is not ours to write.",
            f"Be the user whose it is (uid {folder.stat().st_uid}), or: chown -R $(id -u) {folder}",
        )
        return
    faults = list(_too_open(folder))
    if faults:
        listed = ", ".join(f"{path} is {mode:04o}" for path, mode, _wanted in faults)
        commands = "; ".join(f"chmod {wanted:04o} {path}" for path, _mode, wanted in faults)
        yield fail(name, f"Others may read what is secret: {listed}.", commands)
    else:
        yield ok(name, f"{folder}, closed to others")


def _too_open(folder: Path) -> Sequence[tuple[Path, int, int]]:
    """What is open to others: its path, its mode and the mode that it should have."""
    secrets = folder / "secrets"
    wanted = [
        (folder, 0o711 if os.geteuid() == 0 else 0o700, OPEN_TO_OTHERS),
        (secrets, 0o700, 0o077),
    ]
    files = [folder / part for part in PRIVATE]
    files += secrets.iterdir() if secrets.is_dir() else []
    wanted += [(path, 0o600, 0o077) for path in files]
    found = []
    for path, right, forbidden in wanted:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue
        if mode & forbidden:
            found.append((path, mode, right))
    return found


def disk(folder: Path) -> Findings:
    """Of the disk that DATA_DIR is, or would be, on."""
    name = "disk"
    there = next(one for one in (folder, *folder.parents) if one.exists())
    usage = shutil.disk_usage(there)
    detail = f"{usage.free / GIB:.1f} GiB of {usage.total / GIB:.1f} are free at {there}"
    remedy = f"Make room, or move DATA_DIR to a larger disk. What is large in it: du -sh {folder}/*"
    if usage.free < TOO_LOW_BYTES:
        yield fail(name, detail, remedy)
    elif usage.free < LOW_BYTES and usage.free < usage.total * LOW_PART:
        yield warn(name, detail, remedy)
    else:
        yield ok(name, detail)


def ports(launch: LaunchSettings, running: Settings | None) -> Findings:
    """Those of what runs are taken, by us; those of what does not run are free."""
    if running is not None:
        yield from _answering(running)
        return
    for setting, host, port in (
        ("PORT", launch.host, launch.port),
        ("FLOWER_PORT", "127.0.0.1", launch.flower_port),
    ):
        name = "port" if setting == "PORT" else "flower-port"
        fault = _listening_fails(host, port)
        if fault is None:
            yield ok(name, f"{host} port {port} is free")
        else:
            yield fail(
                name,
                f"Nothing of ours runs, and {host} port {port} can't be listened on: {fault}.",
                f"Find who uses it: ss -ltnp 'sport = :{port}'. Stop that, or choose another:"
                f" make run {setting}={port + 1}",
            )


def _answering(running: Settings) -> Findings:
    log = running.data_dir / "logs"
    try:
        found = Api(running.local_url, lambda: None, timeout_seconds=API_TIMEOUT_SECONDS).health()
        yield ok("port", f"the API answers at {running.local_url}: {found['status']}")
    except Failure as failure:
        yield fail(
            "port",
            f"Tocsin runs, and its API does not serve: {str(failure).splitlines()[0]}",
            f"It may still be starting. Else read the end of {log / 'web.log'}",
        )
    try:
        socket.create_connection(("127.0.0.1", running.flower_port), API_TIMEOUT_SECONDS).close()
        yield ok("flower-port", f"Flower listens on 127.0.0.1 port {running.flower_port}")
    except OSError as error:
        yield warn(
            "flower-port",
            f"Flower does not listen on 127.0.0.1 port {running.flower_port}: {error}",
            f"Alerts don't need it. Read the end of {log / 'flower.log'}",
        )


def _listening_fails(host: str, port: int) -> str | None:
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None
