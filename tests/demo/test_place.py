"""The demo lives in a folder of its own, with servers of its own, and never in what is real."""

import socket
from pathlib import Path

import pytest

from app.adapters.embedded import free_port
from app.settings import LaunchSettings, load_launch_settings
from demo import place
from demo.place import NotHere, settle


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an .env, and without settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in LaunchSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://tocsin@db.example/tocsin"),
        ("REDIS_URL", "redis://cache.example/0"),
        ("CACHE_REDIS_URL", "redis://cache.example/1"),
    ],
)
def test_servers_of_ones_own_are_refused_also_from_a_file(name: str, value: str) -> None:
    Path(".env").write_text(f"{name}={value}\n", encoding="utf-8")
    with pytest.raises(NotHere, match=f"{name} is set .*: make demo {name}="):
        settle(load_launch_settings(), free_port())
    assert not Path(".data").exists()


def test_it_has_a_folder_of_its_own_and_keeps_the_real_heartbeat_still() -> None:
    Path(".env").write_text("HEARTBEAT_URL=https://ping.example/x\nEGRESS_ALLOW=\n", "utf-8")
    environment = settle(load_launch_settings(), free_port())
    assert environment["DATA_DIR"] == str(Path(".data/demo").absolute())
    assert environment["HEARTBEAT_URL"] == ""
    assert environment["EGRESS_ALLOW"].startswith("127.0.0.0/8")


@pytest.mark.parametrize("trace", ["postgres", "admin-password"])
def test_data_that_is_not_the_demos_is_refused(trace: str) -> None:
    real = Path("real")
    (real / trace).mkdir(parents=True)
    with pytest.raises(NotHere, match="is not the demo's"):
        settle(load_launch_settings(data_dir=real), free_port())
    assert not (real / place.MARK).exists()


def test_its_own_data_is_found_again() -> None:
    given = load_launch_settings(data_dir=Path("mine"))
    settle(given, free_port())
    Path("mine/postgres").mkdir()
    assert settle(given, free_port())["DATA_DIR"] == str(Path("mine").absolute())


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotHere, match=f"port {port}.*make demo DEMO_PORT={port + 1}"):
            settle(load_launch_settings(), port)
    assert not Path(".data").exists()


def test_a_port_that_is_taken_by_tocsin_itself_is_named() -> None:
    launch = load_launch_settings()
    for port in (launch.port, launch.flower_port):
        with pytest.raises(NotHere, match="Give each its own"):
            settle(launch, port)
