"""Processes that die or freeze in the middle of a batch: nothing is lost, and duplicates show."""

import json
from collections import Counter
from collections.abc import Sequence
from secrets import token_hex
from typing import Any

import psutil
from requests import Response

from tests.acceptance.steps import (
    checked_webhook,
    closed_gate,
    connections,
    deliver_workers,
    delivery,
    frozen,
    moment,
    postmaster,
    settled,
)
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import PASSWORD, System
from tests.harness.waiting import eventually

WEBHOOKS = 4
BATCH = 75
# In flight at once: each webhook has 16 by default.
IN_FLIGHT = WEBHOOKS * 16
PATHS = [f"/hook-{number}" for number in range(WEBHOOKS)]
# A lease of ten seconds, the restart of a worker, and a slow machine.
RESCUED_WITHIN_SECONDS = 60.0


def raise_batch(client: Client) -> list[int]:
    alert = {"title": "Disk almost full", "severity": "critical"}
    answer = client.post("/api/v1/alerts/batch", json={"alerts": [alert] * BATCH})
    assert answer.status_code == 201, answer.text
    return [one["id"] for one in answer.json()["created"]]


def arrived(receiver: Receiver) -> int:
    return sum(len(receiver.messages(path)) for path in PATHS)


def require_nothing_lost(system: System, receiver: Receiver) -> Counter[str]:
    """Every message of the ledger arrived, under its id and as it was; how often each did."""
    query = (
        "SELECT q.webhook_message_id, e.body, q.status, w.url FROM pggit.deliveries q"
        " JOIN pggit.alert_events e ON e.id = q.event_id"
        " JOIN pggit.webhooks w ON w.id = q.webhook_id"
    )

    def ledger() -> Sequence[Any]:
        with system.sql() as sql:
            rows: Sequence[Any] = sql.execute(query).fetchall()
        return rows if all(row[2] == "delivered" for row in rows) else []

    rows = eventually(ledger, RESCUED_WITHIN_SECONDS, "the delivery of everything")
    assert len(rows) == WEBHOOKS * BATCH
    owed = {(url, message_id): json.loads(body) for message_id, body, _status, url in rows}
    came: Counter[str] = Counter()
    for path in PATHS:
        for message in receiver.messages(path):
            assert owed[receiver.url(path), message.id] == message.json
            came[message.id] += 1
    assert set(came) == {message_id for _url, message_id in owed}
    return came


def test_a_worker_killed_in_the_middle_loses_nothing(
    client: Client, receiver: Receiver, system: System
) -> None:
    with closed_gate() as gate:
        for path in PATHS:
            checked_webhook(client, receiver, path, Answer(gate=gate), timeout_seconds=60)
        before = deliver_workers(system)
        raise_batch(client)
        eventually(lambda: arrived(receiver) == IN_FLIGHT, what="a full house")
        number, victim = max(before.items(), key=lambda item: connections(item[1], receiver.port))
        in_its_hands = connections(victim, receiver.port)
        assert in_its_hands > 0

        victim.kill()

        psutil.wait_procs([victim], timeout=10)
        # While it is dead, others go on; and the supervisor brings it back.
        back = eventually(lambda: _successor(system, number, victim), 15, "its successor")
        assert back is not None
    came = require_nothing_lost(system, receiver)

    # What it had in flight came twice, under the same id; nothing else did.
    again = sum(count - 1 for count in came.values())
    assert 0 < again <= in_its_hands
    assert max(came.values()) == 2
    with system.sql() as sql:
        lost = sql.execute(
            "SELECT count(*) FROM pggit.delivery_attempts WHERE reason = 'worker_lost'"
        ).fetchone()
    assert lost == (again,)

    def shown() -> dict[str, Any] | None:
        workers = client.get("/api/v1/system/info").json()["workers"]
        (row,) = (one for one in workers if one["name"].startswith(f"deliver-{number}@"))
        return row if row["pid"] == back.pid and row["is_alive"] else None

    row = eventually(shown, what="its presence")
    assert row is not None
    assert moment(row["started_at"]).timestamp() >= back.create_time() - 1


def _successor(system: System, number: str, victim: psutil.Process) -> psutil.Process | None:
    found = deliver_workers(system).get(number)
    return found if found is not None and found.pid != victim.pid else None


def test_a_worker_that_froze_past_its_lease_changes_nothing_when_it_thaws(
    client: Client, receiver: Receiver, system: System
) -> None:
    with closed_gate() as gate:
        # The first answer would mean a retry, and one attempt fewer: it must not count.
        checked_webhook(
            client, receiver, "/hook", Answer(500, gate=gate), Answer(), timeout_seconds=60
        )
        alert = client.raise_alert()
        eventually(lambda: receiver.messages("/hook"), what="the first try")
        (sleeper,) = (
            worker
            for worker in deliver_workers(system).values()
            if connections(worker, receiver.port)
        )
        with frozen(sleeper):
            # So the answer is there when it wakes up, and it has something to say.
            gate.set()
            (told,) = settled(client, alert["id"], RESCUED_WITHIN_SECONDS)
        assert told["status"] == "delivered"
        assert [one["reason"] for one in told["attempts"]] == ["worker_lost", "accepted"]
        first, second = receiver.messages("/hook")
        assert first.id == second.id
        assert first.body == second.body

    # It shows itself between two passes, so by then it has said what it had to say.
    thawed = _now(system)
    eventually(lambda: _seen_since(client, sleeper.pid, thawed), 30, "the sleeper's next pass")
    assert delivery(client, told["id"]) == told
    assert len(receiver.messages("/hook")) == 2
    with system.sql() as sql:
        rows = sql.execute("SELECT attempts_made, is_leased FROM pggit.deliveries").fetchall()
    assert rows == [(2, False)]
    assert sleeper.is_running()


def _now(system: System) -> float:
    with system.sql() as sql:
        row = sql.execute("SELECT extract(epoch FROM now())::float8").fetchone()
    assert row is not None
    return float(str(row[0]))


def _seen_since(client: Client, pid: int, moment_: float) -> bool:
    workers = client.get("/api/v1/system/info").json()["workers"]
    (seen,) = (moment(one["seen_at"]).timestamp() for one in workers if one["pid"] == pid)
    return seen > moment_


def test_a_database_that_crashes_comes_back_with_everything(
    client: Client, receiver: Receiver, system: System
) -> None:
    with closed_gate() as gate:
        for path in PATHS:
            checked_webhook(client, receiver, path, Answer(gate=gate), timeout_seconds=60)
        accepted = raise_batch(client)
        eventually(lambda: arrived(receiver) == IN_FLIGHT, what="a full house")

        # Without its supervisor it stays away while we look. Not for long: the supervisor reads
        # the logs of all, and who has much to say would soon wait for it.
        with frozen(*system.processes("supervisor.supervisord")):
            postmaster(system).kill()
            eventually(lambda: unasked(client).status_code == 503, 5, "its absence")
            require_503s(client)
            # What is answered now can't be recorded before it is back.
            gate.set()

        eventually(lambda: unasked(client).status_code == 200, 30, "its return")
    came = require_nothing_lost(system, receiver)

    assert max(came.values()) <= 2
    for alert_id in (accepted[0], accepted[-1]):
        counts = client.get(f"/api/v1/alerts/{alert_id}").json()["deliveries"]
        assert counts["delivered"] == WEBHOOKS
    eventually(lambda: client.get("/health/deep").json()["status"] == "healthy", 40, "health")


def unasked(client: Client) -> Response:
    """A list that nobody asked for before: no cache can have it while the database is away."""
    return client.get("/api/v1/alerts", params={"source": token_hex(8)})


def require_503s(client: Client) -> None:
    """What needs the database says so, and when to come back; what doesn't, answers."""
    alert = {"title": "Not accepted", "severity": "info"}
    login = {"username": "admin", "password": PASSWORD}
    for answer in (
        unasked(client),
        client.post("/api/v1/alerts", json=alert),
        client.as_nobody().post("/api/v1/auth/login", json=login),
        client.get("/api/v1/system/info"),
    ):
        assert answer.status_code == 503, answer.url
        assert int(answer.headers["retry-after"]) > 0
        assert set(answer.json()) == {"detail", "status_code", "timestamp", "request_id"}
    assert client.get("/health").status_code == 200
    assert client.get("/health/live").status_code == 200
    ready, deep = client.get("/health/ready"), client.get("/health/deep")
    for answer in (ready, deep):
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    parts = {name: part["status"] for name, part in deep.json()["checks"].items()}
    assert parts["database"] == "unavailable"
    assert (parts["broker"], parts["cache"]) == ("healthy", "healthy")
