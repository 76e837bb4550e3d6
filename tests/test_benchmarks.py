"""The benchmarks measure what they say: they count right, see a loss, and see unfairness."""

import argparse
import http.client
import json
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from app.adapters.embedded import Servers
from app.domain.cadence import phase_ms
from benchmarks import (
    backlog,
    baselines,
    cache,
    command,
    delivery,
    fairness,
    metrics_in,
    probes,
    schedule,
)
from benchmarks.backlog_report import Drain, Sample
from benchmarks.baselines_report import BaselinesReport, Size
from benchmarks.celery_control import CeleryServers
from benchmarks.contestants.alertmanager import Alertmanager
from benchmarks.debian import BLACKBOX, HOW_TO_INSTALL, PACKAGE
from benchmarks.delivery_report import DeliveryReport, Section
from benchmarks.fairness_report import Scenario, stays_fair
from benchmarks.figures import at_least, at_most, percentile
from benchmarks.ledger import balance, check_sample
from benchmarks.probes_report import ONE, PEER
from benchmarks.receiver import HANGS, Ledger, Receiver, after, running_receiver
from benchmarks.report import Report
from benchmarks.rounds import Round

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


def _processes() -> set[tuple[int, str]]:
    """Ours, and theirs; but not those that PostgreSQL starts by itself, to vacuum for instance."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found.add((child.pid, child.name()))
    return {(pid, name) for pid, name in found if name != "postgres"}


@pytest.fixture
def leaves_no_process() -> Iterator[None]:
    before = _processes()
    yield
    assert _processes() <= before


def _is_narrow(report: Report) -> bool:
    return max(len(line) for line in report.as_table().splitlines()) <= 100


# Bounded runs of each, on the real servers and with the real processes.


@pytest.mark.usefixtures("leaves_no_process")
def test_delivery_balances_for_everybody(own_database: Servers, tmp_path: Path) -> None:
    accepted = {
        "tocsin-1": 200,
        "celery-row": 20,
        "poller": 20,
        "libcurl": 400,
        "tocsin-1-in": 100,
        "tocsin-2-slow": 100,
    }
    if shutil.which(PACKAGE):
        accepted["alertmanager"] = 100
    options = delivery.Options(200, 1, 4, answer_after_ms=100, only=list(accepted))

    report = delivery.run(own_database, tmp_path, options)

    assert report.voids == []
    found = {one.contestant: one for one in report.rounds}
    assert {name: one.accepted for name, one in found.items()} == accepted
    for one in found.values():
        assert (one.lost, one.received) == (0, one.accepted + one.duplicated)
    assert "no round counts" not in report.as_table()
    assert _is_narrow(report)
    kept = json.loads(report.as_json())
    assert [one["contestant"] for one in kept["rounds"]] == [
        one.contestant for one in report.rounds
    ]
    assert len(kept["gates"]) == len(report.gates)


@pytest.mark.usefixtures("leaves_no_process")
def test_fairness_balances_and_the_control_shows_what_it_would_see(
    own_database: Servers, tmp_path: Path
) -> None:
    tocsin = Scenario("a few", 10, 1, per_second=100, seconds=1, pairs=1, patience=20)
    control = replace(tocsin, name="control", per_second=50, patience=0.5, is_control=True)

    report = fairness.run(own_database, tmp_path, timeout=5, scenarios=[tocsin, control])

    assert report.voids == []
    assert [(one.scenario, one.hanging) for one in report.passes] == [
        ("a few", False),
        ("a few", True),
        ("control", False),
        ("control", True),
    ]
    # The webhook that would hang is left out of both, so that the same ones are compared.
    assert [one.accepted for one in report.passes] == [90, 90, 45, 45]
    assert [one.late for one in report.passes[:2]] == [0, 0]
    # Four of its alerts have all four processes of the control wait for 15 s.
    assert report.passes[3].late > 0
    assert _is_narrow(report)


@pytest.mark.usefixtures("leaves_no_process")
def test_probes_balance(own_database: Servers, tmp_path: Path) -> None:
    only = [ONE] + ([PEER] if shutil.which(BLACKBOX) else [])

    report = probes.run(own_database, tmp_path, probes.Options(300, 1, 4, only))

    assert report.voids == []
    assert [one.contestant for one in report.rounds] == only
    assert report.rounds[0].probes == 300
    assert _is_narrow(report)
    assert len(json.loads(report.as_json())["rounds"]) == len(only)


@pytest.mark.usefixtures("leaves_no_process")
def test_schedule_sees_every_check(own_database: Servers, tmp_path: Path) -> None:
    few = schedule.Scenario("few", 50, 5)

    report = schedule.run(own_database, tmp_path, 5, [few], warm_up=6)

    assert report.voids == []
    (one,) = report.passes
    assert one.due in (49, 50, 51)
    assert one.missed == 0
    assert _is_narrow(report)


def test_schedule_tells_what_is_late_and_what_is_missing() -> None:
    at = phase_ms(7, 10) / 1000 + 1000
    came = {1: [at + 0.25, at + 20.5]}
    late, missed = schedule.late([7], 10, came, at - 1, at + 21)
    assert late == pytest.approx([0.25, 0.5])
    assert missed == 1


@pytest.mark.usefixtures("leaves_no_process")
def test_backlog_claims_whole_rooms_and_drains(own_database: Servers, tmp_path: Path) -> None:
    options = backlog.Options(backlog=20_000, history=10_000, claims=3, drain=2_000)

    report = backlog.run(own_database, tmp_path, options)

    assert report.voids == []
    assert [len(one.ms) for one in (*report.empty, *report.full)] == [3] * 4
    assert report.drain.moved_rows >= 2_000
    assert report.drain.delivered_hot_rows == 0
    # What is measured is taken out: so often a room of 500, the ones to warm up included.
    assert report.drain.hot_rows + report.drain.moved_rows == 20_000 - 13 * 500
    assert _is_narrow(report)
    with psycopg.connect(own_database.database_url) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^bench_'")
        assert left.fetchall() == []


@pytest.mark.usefixtures("leaves_no_process")
def test_metrics_in_balances_for_everybody(own_database: Servers, tmp_path: Path) -> None:
    options = metrics_in.Options(2000, 1, 10, 500, only=("tocsin", "insert"))

    report = metrics_in.run(own_database, tmp_path, options)

    assert report.voids == []
    assert {one.contestant: one.accepted for one in report.rounds} == {
        "tocsin": 2000,
        "insert": 500,
    }
    assert [gate.passed is None for gate in report.gates] == [False, False]
    assert "no round counts" not in report.as_table()
    assert _is_narrow(report)


@pytest.mark.usefixtures("leaves_no_process")
def test_baselines_are_those_of_the_raw_rows(own_database: Servers, tmp_path: Path) -> None:
    options = baselines.Options(samples=[28_000], simulated=56_000, days=1)

    report = baselines.run(own_database, tmp_path, options)

    assert report.voids == []
    assert [one.simulated for one in report.sizes] == [False, True]
    assert [len(one.theirs) for one in report.sizes] == [1, 0]
    assert {len(one.ours) for one in report.sizes} == {len(one.with_year) for one in report.sizes}
    assert _is_narrow(report)


@pytest.mark.usefixtures("leaves_no_process")
def test_the_cache_is_measured_and_every_answer_looked_at(
    own_database: Servers, tmp_path: Path
) -> None:
    options = cache.Options(2, 2, entries=300, callers=50, commits=3, has_peer=False)

    report = cache.run(own_database, tmp_path, options)

    assert report.voids == []
    assert report.flight.queries == 1
    measured = [gate.passed is not None for gate in report.gates]
    assert measured == [False, False, True, True, True]
    assert _is_narrow(report)


def test_a_void_size_has_no_ratio() -> None:
    size = Size(1000, False, 9.0, [2.0, 1.0, 3.0], [20.0], [2.0], None)
    report = BaselinesReport("2026-01-01T00:00:00", {}, [size])
    assert (report.gates[0].measured, report.gates[0].passed) == ("10.0×", True)

    void = replace(report, sizes=[replace(size, void="p50 is off")])
    assert (void.gates[0].measured, void.voids) == ("not measured", ["1,000: p50 is off"])


def test_the_control_publishes_to_the_broker_that_it_is_given(
    own_database: Servers, tmp_path: Path
) -> None:
    """Each benchmark has servers of its own, one after another in one process."""
    for redis_url in (own_database.redis_url, own_database.cache_redis_url):
        servers = CeleryServers(replace(own_database, redis_url=redis_url), tmp_path)
        with servers.opened(with_row=True) as control:
            (hook,) = control.make_webhooks(["http://127.0.0.1:9/"])
            message_id = control.publish(hook, 1)
            assert [one[0] for one in control.messages([hook])] == [message_id]
            # What is put aside was there.
            control.put_aside()


# What makes a figure count.


def _ledger(*ids: str, received: int | None = None) -> Ledger:
    at = dict.fromkeys(ids, 1.0)
    return Ledger(len(ids) if received is None else received, 1.0, 2.0, at, {}, "")


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
def test_a_run_counts_only_if_its_ledger_balances(
    accepted: str, ledger: Ledger, why_void: str | None
) -> None:
    assert balance(accepted, ledger) == why_void


def test_an_unsigned_message_voids_a_round() -> None:
    fault = check_sample({"a": SECRET}, replace(_ledger("a"), sample_headers={"webhook-id": "a"}))

    assert fault is not None
    assert "signature" in fault


def _round(contestant: str, rate: float, void: str | None = None) -> Round:
    cpu = dict.fromkeys(("workers", "postgresql", "redis", "receiver", "intake"), 1.0)
    return Round(contestant, 1, 1, 1, 0, 0, 0.0, 1.0, rate, cpu, 0.0, 0.0, void)


def _delivery(*rounds: Round) -> DeliveryReport:
    section = Section("all", "celery-row", {one.contestant: one.contestant for one in rounds}, {})
    return DeliveryReport("2026-01-01T00:00:00", {}, 1, [section], rounds)


def test_the_gates_of_delivery_are_ratios_of_medians_of_rounds_that_count() -> None:
    report = _delivery(
        *(_round("tocsin-1", rate) for rate in (1600.0, 1.0, 9999.0)),
        _round("tocsin-1", 1.0, void="1 of 2 were lost"),
        _round("celery-row", 100.0),
    )

    gate, *others = report.gates
    assert (gate.measured, gate.passed, gate.verdict) == ("16.0×", True, "pass")
    assert {other.measured for other in others} == {"not measured"}
    assert report.voids == ["tocsin-1: 1 of 2 were lost"]


def test_a_peer_that_is_not_there_says_how_to_get_it() -> None:
    report = _delivery(_round("tocsin-1-in", 100.0))
    titles = {"tocsin-1-in": "Tocsin", "alertmanager": Alertmanager.title}
    section = Section("taking in", "alertmanager", titles, {"alertmanager": HOW_TO_INSTALL})
    report = replace(report, sections=[section])

    (line,) = [line for line in report.as_table().splitlines() if line.startswith("Alertmanager")]
    assert "not installed" in line
    assert "apt-get install prometheus-alertmanager" in line
    assert report.voids == []
    assert {gate.verdict for gate in report.gates} == {"–"}
    assert _is_narrow(report)


@pytest.mark.parametrize(("void", "code"), [(None, 0), ("1 of 2 were lost", 1)])
def test_a_void_round_fails_the_command(
    void: str | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = dict.fromkeys(
        (
            *("cores", "processor", "load", "python", "postgresql", "synchronous_commit"),
            *("fsync", "redis", "celery", "psycopg", "requests", "pycurl"),
        ),
        "x",
    )

    def measure(_servers: Servers, _folder: Path, _given: argparse.Namespace) -> Report:
        return replace(_delivery(_round("tocsin-1", 2.0, void)), machine=machine)

    benchmark = command.Benchmark("delivery", command.parser_for("delivery", None), measure)

    assert command.main([benchmark], ["--results", str(tmp_path)]) == code
    assert ("void: tocsin-1: 1 of 2 were lost" in capsys.readouterr().out) == bool(code)
    assert len(list(tmp_path.glob("delivery-*.json"))) == 1


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ([3, 1, 2], 0.5, 2),
        (range(1, 101), 0.99, 99),
        (range(1, 101), 1.0, 100),
        ([7], 0.5, 7),
        ([7], 0.0, 7),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: Sequence[float], part: float, expected: float
) -> None:
    assert percentile(values, part) == expected


@pytest.mark.parametrize(
    ("without", "hanging", "passed"),
    [
        ([100.0], [150.0], True),  # 50 ms
        ([100.0], [151.0], False),
        ([1000.0], [1100.0], True),  # 10 %
        ([1000.0], [1101.0], False),
        ([100.0, 100.0, 900.0], [120.0], True),  # the median of the runs
        ([], [1.0], None),
    ],
)
def test_fair_is_within_a_tenth_or_50_ms(
    without: list[float], hanging: list[float], passed: bool | None
) -> None:
    assert stays_fair("some", without, hanging).passed is passed


def test_goals_hold_at_their_edge_and_say_what_was_not_measured() -> None:
    assert [at_least("x", 15, measured).passed for measured in (15.0, 14.9, None)] == [
        True,
        False,
        None,
    ]
    assert [at_most("x", 1.2, measured).passed for measured in (1.2, 1.21, None)] == [
        True,
        False,
        None,
    ]


def test_a_drain_is_judged_by_its_first_and_its_last_part() -> None:
    samples = [Sample(second, 100 * second, 2**20 * second) for second in range(1, 11)]
    samples += [Sample(10 + second, 1000 + 50 * second, 2**20) for second in range(1, 21)]
    drain = Drain(2000, samples, 0, 0, 0, 2000, None)

    assert (drain.rate((0.0, 0.25)), drain.rate((0.8, 1.0))) == (100, 50)
    assert (drain.rss_mib((0.0, 0.25)), drain.rss_mib((0.8, 1.0))) == (5, 1)


# The receiver.


def test_the_receiver_counts_messages_and_what_is_new(receiver: Receiver) -> None:
    _post(receiver, "msg_1", "msg_2")
    before = receiver.ledger("kept")
    _post(receiver, "msg_1", "msg_1")
    found = receiver.ledger("kept")

    assert receiver.count("kept") == 2
    assert receiver.count("another") == 0
    assert (before.received, found.received) == (2, 4)
    assert sorted(found.received_at) == ["msg_1", "msg_2"]
    # What came before is no news: the clock of a run stops at the last that was new.
    assert 0 < found.first_at < found.last_new_at == before.last_new_at
    assert found.received_at == before.received_at
    assert (found.sample_headers["webhook-id"], found.sample_body) == ("msg_1", "{}")


def _post(receiver: Receiver, *message_ids: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    for message_id in message_ids:
        connection.request("POST", "/kept/hook-0", b"{}", {"Webhook-Id": message_id})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 204
    connection.close()


def test_the_receiver_finds_alertmanagers_ids_in_the_body(receiver: Receiver) -> None:
    body = json.dumps({"alerts": [{"labels": {"alert_id": one}} for one in ("a", "b")]})
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    connection.request("POST", "/grouped/hook-0", body)
    assert connection.getresponse().status == 204
    connection.close()

    assert receiver.ledger("grouped").received_at.keys() == {"a", "b"}


def test_the_receiver_answers_late_or_never(receiver: Receiver) -> None:
    message = "POST {} HTTP/1.1\r\ncontent-length: 2\r\nwebhook-id: msg_1\r\n\r\n{{}}"
    base = f"http://127.0.0.1:{receiver.port}"
    late, never = (
        receiver.url(run, 0, how).removeprefix(base)
        for run, how in (("late", after(200)), ("never", HANGS))
    )
    with (
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as waits,
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as hangs,
    ):
        hangs.sendall(message.format(never).encode())
        began_at = time.monotonic()
        waits.sendall(message.format(late).encode())
        assert waits.recv(4096).startswith(b"HTTP/1.1 204")
        assert time.monotonic() - began_at >= 0.2
        hangs.setblocking(False)
        with pytest.raises(BlockingIOError):
            hangs.recv(4096)

    assert (receiver.count("late"), receiver.count("never")) == (1, 1)


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
    assert receiver.ledger("pieces").received_at.keys() == {"msg_0", "msg_1", "msg_2"}
