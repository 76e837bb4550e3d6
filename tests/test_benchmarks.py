"""The benchmark measures what it says: it counts right, sees a loss, and its ledger balances."""

import http.client
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from app.adapters.embedded import Servers
from benchmarks.delivery import balance, check_sample, run
from benchmarks.receiver import Ledger, Receiver, running_receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def own_database(servers: Servers) -> Iterator[Servers]:
    """The shared servers with a database of its own: a benchmark leaves its alerts behind."""
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE benchmarks")
        url = make_url(servers.database_url).set(database="benchmarks")
        yield replace(servers, database_url=url.render_as_string(hide_password=False))
        connection.execute("DROP DATABASE benchmarks WITH (FORCE)")


def test_a_bounded_run_balances_and_leaves_no_process(
    own_database: Servers, tmp_path: Path
) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    report = run(
        own_database, tmp_path, alerts=400, rounds=1, webhooks=4, names=("tocsin-1", "celery-row")
    )

    found = {one.contestant: one for one in report.rounds}
    assert {name: one.void for name, one in found.items()} == {"tocsin-1": None, "celery-row": None}
    for one, accepted in ((found["tocsin-1"], 400), (found["celery-row"], 40)):
        assert one.accepted == one.unique == accepted
        assert (one.lost, one.received) == (0, accepted + one.duplicated)
    table = report.as_table()
    assert "no round counts" not in table
    assert max(len(line) for line in table.splitlines()) <= 100
    after = [child for child in psutil.Process().children(recursive=True) if child.is_running()]
    assert {child.pid for child in after} <= before


def _ledger(*ids: str, received: int | None = None) -> Ledger:
    return Ledger(len(ids) if received is None else received, 1.0, 2.0, frozenset(ids), {}, "")


@pytest.mark.parametrize(
    ("accepted", "ledger", "why_void"),
    [
        ("ab", _ledger("a", "b"), None),
        ("ab", _ledger("a", "b", received=3), None),  # at least once: a duplicate is allowed
        ("ab", _ledger("a"), "1 of 2 were lost"),
        ("a", _ledger("a", "b"), "1 were received that nobody had accepted"),
        ("", _ledger(), "nothing was accepted"),
    ],
)
def test_a_round_counts_only_if_its_ledger_balances(
    accepted: str, ledger: Ledger, why_void: str | None
) -> None:
    assert balance(dict.fromkeys(accepted, SECRET), ledger) == why_void


def test_an_unsigned_message_voids_a_round() -> None:
    fault = check_sample({"a": SECRET}, replace(_ledger("a"), sample_headers={"webhook-id": "a"}))

    assert fault is not None
    assert "signature" in fault


def test_the_receiver_counts_messages_and_what_is_new(receiver: Receiver) -> None:
    _post(receiver, "msg_1", "msg_2")
    before = receiver.ledger("kept")
    _post(receiver, "msg_1", "msg_1")
    after = receiver.ledger("kept")

    assert receiver.count("kept") == 2
    assert receiver.count("another") == 0
    assert (before.received, after.received) == (2, 4)
    assert sorted(after.ids) == ["msg_1", "msg_2"]
    # What came before is no news: the clock of a run stops at the last that was new.
    assert 0 < after.first_at < after.last_new_at == before.last_new_at
    assert (after.sample_headers["webhook-id"], after.sample_body) == ("msg_1", "{}")


def _post(receiver: Receiver, *message_ids: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    for message_id in message_ids:
        connection.request("POST", "/kept/hook-0", b"{}", {"Webhook-Id": message_id})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204
    connection.close()


def test_the_receiver_takes_messages_in_any_pieces(receiver: Receiver) -> None:
    message = b"POST /pieces/h HTTP/1.1\r\ncontent-length: 2\r\nwebhook-id: msg_%d\r\n\r\n{}"
    sent = b"".join(message % number for number in range(3))
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin in range(0, len(sent), 7):
            connection.sendall(sent[begin : begin + 7])
        answers = b""
        while answers.count(b"\r\n\r\n") < 3:
            answers += connection.recv(4096)

    assert answers.count(b"204 No Content") == 3
    assert receiver.ledger("pieces").ids == {"msg_0", "msg_1", "msg_2"}
