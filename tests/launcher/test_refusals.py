"""What keeps it from starting is said, with what to do, and nothing is left running."""

import os
import pwd
import socket
from collections.abc import Mapping

import psutil
import pytest

from app.adapters.embedded.process import UNPRIVILEGED

from .conftest import EXTERNAL, Launch, Project

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")


def refused(project: Project, environment: Mapping[str, str] | None = None) -> Launch:
    # The session's own system is a child of this process too.
    before = set(psutil.Process().children())
    launch = project.launch(environment=environment)
    assert launch.wait() == 1
    assert set(psutil.Process().children()) <= before
    return launch


def test_release_that_fails(project: Project) -> None:
    project.write("Procfile", "release: ls /no-such-folder\nweb: python web.py\n")
    launch = refused(project, EXTERNAL)
    assert "release command failed" in launch.output
    assert "/no-such-folder" in launch.output


def test_never_ready_names_the_program_and_shows_its_log(project: Project) -> None:
    project.ready_within(3)
    project.write(
        "Procfile", "web: python -c \"raise SystemExit('no such thing')\"\ndeliver_1: sleep 1000\n"
    )
    launch = refused(project, EXTERNAL)
    assert "Not ready after 3 s" in launch.output
    assert "web is not up." in launch.output
    assert "    no such thing" in launch.output
    assert "deliver_1 is not up" not in launch.output


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT"])
def test_busy_port(project: Project, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        launch = refused(project, {name: str(port)})
    assert f"Can't listen on 127.0.0.1 port {port}" in launch.output
    assert f"make run {name}={port + 1}" in launch.output
    assert not (project.data_dir / "postgres").exists()


def test_data_of_another_version(project: Project) -> None:
    cluster = project.data_dir / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("16\n")
    if os.geteuid() == 0:
        os.chown(cluster, *account())
    launch = refused(project)
    assert "made by PostgreSQL 16, and this is PostgreSQL 18" in launch.output
    assert "DATA_DIR" in launch.output


def test_a_server_of_ones_own_needs_secrets(project: Project) -> None:
    launch = project.launch(
        environment={"DATABASE_URL": EXTERNAL["DATABASE_URL"], "PORT": str(project.port)}
    )
    assert launch.wait() != 0
    assert "JWT_SECRET_KEY" in launch.output
    assert "ENCRYPTION_KEYS" in launch.output


@as_root
def test_data_that_the_account_cannot_reach(project: Project) -> None:
    closed = project.folder / "closed"
    closed.mkdir(mode=0o700)
    launch = refused(project, {"DATA_DIR": str(closed / "data")})
    assert f"can't enter {closed} to reach" in launch.output
    assert closed.stat().st_mode & 0o777 == 0o700


def account() -> tuple[int, int]:
    entry = pwd.getpwnam(UNPRIVILEGED)
    return entry.pw_uid, entry.pw_gid
