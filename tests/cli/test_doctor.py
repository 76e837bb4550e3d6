"""`tocsin doctor`: what it finds, and what it says to do."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

from app.adapters.embedded import Servers, free_port
from app.cli.doctor import database, machine
from app.cli.doctor.finding import Finding, Verdict
from app.cli.doctor.redises import redises
from app.settings import Settings, load_settings
from models.migrate import upgrade
from tests.cli.conftest import Answer, Tocsin
from tests.harness.client import Client
from tests.harness.waiting import eventually

LANES = ("deliver", "health", "jobs")
OWN_DATABASE = "tocsin_doctor"
PARTS = {
    "settings", "data-dir", "disk", "port", "flower-port", "broker", "cache", "database", "clock",
    "migrations", "admin", "beat", "workers", "queue",
}  # fmt: skip


def checks(answer: Answer) -> dict[str, str]:
    return {one["check"]: one["status"] for one in answer.json["checks"]}


def well(answer: Answer) -> Answer | None:
    return answer if answer.code == 0 else None


def test_all_is_well(here: Tocsin) -> None:
    # On a machine that stood still for a while a heartbeat may be late, so it may be so soon only;
    # on a full disk, or behind a backlog of another test, it warns, and nothing is wrong.
    answer = eventually(lambda: well(here("doctor", "--json")), 60, "a good report")
    assert answer is not None
    assert checks(answer).keys() == PARTS
    for line in here("doctor").out.splitlines()[:-1]:
        assert line.startswith((*Verdict, " "))


def test_what_does_not_run(tocsin: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("FLOWER_PORT", str(port))
        answer = tocsin("doctor", "--json")
    assert answer.code == 1
    found = {one["check"]: one for one in answer.json["checks"]}
    assert found["running"]["remedy"] == "make run"
    assert found["port"]["status"] == "ok"
    assert found["flower-port"]["status"] == "fail"
    assert f"make run FLOWER_PORT={port + 1}" in found["flower-port"]["remedy"]
    assert found["queue"]["status"] == "skip"


def test_wrong_settings_are_all_listed(tocsin: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    monkeypatch.setenv("QUEUE_LIMIT", "0")
    answer = tocsin("doctor")
    assert answer.code == 1
    assert "PORT:" in answer.out
    assert "QUEUE_LIMIT:" in answer.out


def only(found: Iterator[Finding]) -> Finding:
    (one,) = found
    return one


def test_secrets_that_others_may_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "secrets").mkdir(parents=True)
    for path, mode in ((folder, 0o700), (folder / "secrets", 0o700)):
        path.chmod(mode)
    secret = folder / "secrets" / "jwt-secret-key"
    secret.write_text("x")
    secret.chmod(0o600)
    assert only(machine.data_dir(folder)).verdict is Verdict.OK

    secret.chmod(0o644)
    folder.chmod(0o755)
    found = only(machine.data_dir(folder))
    assert found.verdict is Verdict.FAIL
    assert found.remedy is not None
    assert os.system(found.remedy) == 0  # noqa: S605 - the remedy is followed to the letter
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert only(machine.data_dir(folder)).verdict is Verdict.OK
    assert only(machine.data_dir(tmp_path / "none")).verdict is Verdict.WARN


def test_room_on_the_disk(tmp_path: Path) -> None:
    found = only(machine.disk(tmp_path / "not" / "yet"))
    assert "GiB" in found.detail


def with_servers(servers: Servers, **changes: str) -> Settings:
    given = {
        "database_url": servers.database_url,
        "redis_url": servers.redis_url,
        "cache_redis_url": servers.cache_redis_url,
        "jwt_secret_key": "x" * 32,
        "encryption_keys": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    }
    return load_settings(**(given | changes))


@contextmanager
def policy(url: str, name: str) -> Iterator[None]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        before = client.config_get("maxmemory-policy")["maxmemory-policy"]
        client.config_set("maxmemory-policy", name)
        try:
            yield
        finally:
            client.config_set("maxmemory-policy", before)


def verdicts(settings: Settings) -> dict[str, Verdict]:
    return {one.check: one.verdict for one in redises(settings)}


def test_what_redis_does_when_it_is_full(servers: Servers) -> None:
    settings = with_servers(servers)
    assert verdicts(settings) == {"broker": Verdict.OK, "cache": Verdict.OK}
    with policy(servers.redis_url, "allkeys-lru"):
        assert verdicts(settings)["broker"] is Verdict.FAIL
    with policy(servers.cache_redis_url, "noeviction"):
        assert verdicts(settings)["cache"] is Verdict.FAIL


def test_one_redis_for_both(servers: Servers) -> None:
    """Another database of it is the same instance, and eviction is per instance."""
    same = servers.redis_url.rpartition("/")[0] + "/5"
    with policy(servers.redis_url, "noeviction"):
        found = {one.check: one for one in redises(with_servers(servers, cache_redis_url=same))}
    assert found["cache"].verdict is Verdict.FAIL
    assert "the same Redis" in found["cache"].detail


def test_no_redis_is_a_warning_only(servers: Servers) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    settings = with_servers(servers, redis_url=away, cache_redis_url=away)
    assert verdicts(settings) == {"broker": Verdict.WARN, "cache": Verdict.WARN}
    assert verdicts(with_servers(servers, cache_redis_url=""))["cache"] is Verdict.OK


@pytest.fixture
def own_database(servers: Servers) -> Iterator[str]:
    """The URL of an empty one."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {OWN_DATABASE}")
        yield urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{OWN_DATABASE}"))
        connection.execute(f"DROP DATABASE {OWN_DATABASE} WITH (FORCE)")


def of_database(url: str, servers: Servers) -> dict[str, Finding]:
    settings = with_servers(servers, database_url=url)
    return {one.check: one for one in database.database(settings, LANES)}


def test_no_database(servers: Servers) -> None:
    found = of_database(f"postgresql://127.0.0.1:{free_port()}/none", servers)
    assert found["database"].verdict is Verdict.FAIL
    assert {found[name].verdict for name in database.AFTER_THE_DATABASE} == {Verdict.SKIP}


def test_an_empty_database_then_nobody_who_works(own_database: str, servers: Servers) -> None:
    found = of_database(own_database, servers)
    assert found["migrations"].verdict is Verdict.FAIL
    assert "tocsin migrate" in str(found["migrations"].remedy)
    assert found["queue"].verdict is Verdict.SKIP
    assert found["clock"].verdict is Verdict.OK

    upgrade(own_database.replace("postgresql://", "postgresql+psycopg://"))
    found = of_database(own_database, servers)
    assert (found["migrations"].verdict, found["queue"].verdict) == (Verdict.OK, Verdict.OK)
    for name in ("admin", "beat", "workers"):
        assert found[name].verdict is Verdict.FAIL, name
    assert "python -m tasks deliver 1" in str(found["workers"].remedy)

    for minutes, verdict in ((5, Verdict.WARN), (60, Verdict.FAIL)):
        with psycopg.connect(own_database) as connection:
            connection.execute(
                "INSERT INTO pggit.alert_delivery_queue (event_id, webhook_id, next_attempt_at)"
                " VALUES (1, 1, now() - make_interval(mins => %s))",
                [minutes],
            )
        assert of_database(own_database, servers)["queue"].verdict is verdict


def test_deliveries_are_paused(here: Tocsin, client: Client) -> None:
    client.put("/api/v1/traffic/pause", json={"reason": "a move"})
    try:
        answer = here("doctor", "--json")
    finally:
        client.delete("/api/v1/traffic/pause")
    queue = next(one for one in answer.json["checks"] if one["check"] == "queue")
    assert queue["status"] == "warn"
    assert "paused by admin" in queue["detail"]
