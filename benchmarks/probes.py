"""Probes per second, a new connection each: Tocsin's health lane beside blackbox_exporter.

    python -m benchmarks.probes [--probes N] [--rounds R] [--callers C] [--only NAME …]

Measured in turns, each against the same target, a server that is hardly there, over loopback and
without TLS:

- Tocsin as `make run` starts it: two worker processes of the health lane (`python -m tasks health
  1`, and `2`), and PostgreSQL with fsync; and with one worker alone. So many webhooks become due at
  once, all of which were checked a few times before, so that either worker knows most of them, as
  in a system that has run for a while; each is claimed, probed through the egress guard, judged,
  and recorded: its health, its history, its rollup. From the first probe that the target sees
  until all are recorded.
- Prometheus blackbox_exporter 0.23 from Debian, asked for `/probe` by `--callers` callers at once
  over connections that are kept alive. It answers each with its metrics, and keeps nothing. From
  the first probe until the last answer.

The target has seen every probe once, Tocsin has recorded each, and blackbox_exporter says of each
that it succeeded, or the round is void. CPU is what all processes of a side used, the target's and
the callers' too.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

from app.adapters.embedded import Servers, free_port
from app.adapters.guard import Guard
from app.adapters.http import Transfers, fetch
from app.adapters.http_messages import Request
from app.settings import Settings
from benchmarks import command, fleet, machine
from benchmarks.command import positive, say
from benchmarks.debian import BLACKBOX, find
from benchmarks.postgres import Connection, connect, tidy_up
from benchmarks.probes_report import ONE, PEER, TWO, ProbeRound, ProbesReport
from benchmarks.processes import running, wait_for
from benchmarks.receiver import ANSWER_WITHIN_SECONDS, LOOPBACK
from benchmarks.target import Target, running_target
from benchmarks.tocsin import START_WITHIN_SECONDS, opened, settings_for

TITLES = {
    ONE: "Tocsin, one worker of the health lane",
    TWO: "Tocsin, two workers of the health lane",
    PEER: "blackbox_exporter (Debian), /probe, keeps nothing",
}
NAMES = tuple(TITLES)
ROUND_WITHIN_SECONDS = 120.0
WARM_UP = 200
# After these a worker knows 15 of 16 webhooks, if two share each round evenly.
WARM_UPS = 4
HOW_TO_INSTALL = f"not installed; apt-get install {BLACKBOX}"
# Blackbox is given fewer, so that rounds take about as long.
PEER_SHARE = 5
MODULE = {
    "prober": "http",
    "timeout": "15s",
    "http": {"method": "GET", "preferred_ip_protocol": "ip4", "follow_redirects": False},
}


@dataclass(frozen=True)
class Options:
    probes: int
    rounds: int
    callers: int
    only: Sequence[str] = NAMES


def _measured(
    name: str,
    target: Target,
    run: str,
    count: int,
    pids: Sequence[int],
    probe: Callable[[], Callable[[], int]],
) -> ProbeRound:
    """`probe` makes so many probes, and answers with how to learn how many of them did not do what
    they should."""
    processes = {
        "prober": list(pids),
        "postgresql": machine.children_named("postgres"),
        "target": [target.pid],
    }
    used = {who: machine.cpu_seconds(ids) for who, ids in processes.items()}
    used_here, before, fired_at = time.process_time(), machine.Ticks.now(), time.time()
    count_failed = probe()
    ended_at = time.time()
    here = time.process_time() - used_here
    ticks = machine.Ticks.now().since(before)
    cpu = {who: machine.cpu_seconds(ids) - used[who] for who, ids in processes.items()}
    ours = sum(cpu.values()) + here
    # What this process does beside Tocsin is to look whether it is over.
    cpu["callers"] = here if name == PEER else 0.0
    failed = count_failed()
    times = {
        number: came
        for number, all_of_it in target.times(run).items()
        if (came := [at for at in all_of_it if at >= fired_at])
    }
    received = sum(map(len, times.values()))
    seconds = ended_at - min((at[0] for at in times.values()), default=ended_at)
    void = None
    if received != count or len(times) != count:
        void = f"{received} probes of {len(times)} came, not one each of {count}"
    elif failed:
        void = f"{failed} probes failed, or were not recorded"
    return ProbeRound(
        contestant=name,
        probes=count,
        seconds=seconds,
        rate=count / seconds if seconds else 0.0,
        cpu_us={who: 1e6 * spent / count for who, spent in cpu.items()},
        steal_percent=100 * ticks.stolen / ticks.total,
        others_percent=100 * max(ticks.busy - ours, 0) / ticks.total,
        void=void,
    )


class Tocsin:
    def __init__(
        self, name: str, workers: int, settings: Settings, target: Target, count: int
    ) -> None:
        self._name = name
        self._workers = workers
        self._settings = settings
        self._target = target
        self._count = count

    def measure(self, run: str) -> ProbeRound:
        with opened(self._settings) as tocsin, connect(self._settings.database_url) as connection:
            (like,) = tocsin.make_webhooks([self._target.url(run, 0)], active=True)
            fleet.put_off(connection, [like])
            webhooks = fleet.multiply(connection, like, self._count)
            with tocsin.workers(self._workers, lane="health") as pids:
                for _ in range(WARM_UPS):
                    _probe_all(connection, webhooks)
                tidy_up(self._settings.database_url)
                made = _measured(
                    self._name,
                    self._target,
                    run,
                    self._count,
                    pids,
                    lambda: _probe_all(connection, webhooks),
                )
            fleet.remove(connection, [like, *webhooks])
        return made


def _probe_all(connection: Connection, webhooks: Sequence[int]) -> Callable[[], int]:
    """Has all of them checked; of how many it is not recorded that all checks passed."""
    recorded = fleet.recorded(connection) + len(webhooks)
    fleet.make_due(connection, webhooks)
    try:
        wait_for(
            lambda: (
                fleet.recorded(connection) >= recorded
                and fleet.checked(connection, webhooks) == len(webhooks)
            ),
            ROUND_WITHIN_SECONDS,
            "the last record",
        )
    except TimeoutError as error:
        say(str(error))
    return lambda: len(webhooks) - fleet.passed(connection, webhooks)


class Blackbox:
    def __init__(
        self, binary: Path, folder: Path, target: Target, count: int, callers: int
    ) -> None:
        self._binary = binary
        self._folder = folder
        self._target = target
        self._count = count
        self._callers = callers

    def measure(self, run: str) -> ProbeRound:
        config = self._folder / "blackbox.json"  # JSON, which is YAML too
        config.write_text(json.dumps({"modules": {"probe": MODULE}}))
        address = f"{LOOPBACK}:{free_port()}"
        exporter = [
            str(self._binary),
            f"--config.file={config}",
            f"--web.listen-address={address}",
            "--log.level=error",
        ]
        guard = Guard((ip_network("127.0.0.0/8"),))
        with (
            running([exporter], {}, self._folder / "blackbox.log") as pids,
            Transfers(guard, self._callers) as callers,
        ):
            ready = Request("GET", f"http://{address}/-/healthy", (), None, ANSWER_WITHIN_SECONDS)
            wait_for(
                lambda: fetch(guard, ready).status == 200, START_WITHIN_SECONDS, "blackbox_exporter"
            )
            warm, asked = (
                [_asking(address, self._target.url(name, one)) for one in range(1, count + 1)]
                for name, count in ((f"{run}-warm-up", WARM_UP), (run, self._count))
            )
            _ask(callers, warm)
            return _measured(
                PEER, self._target, run, self._count, pids, lambda: _ask(callers, asked)
            )


def _asking(address: str, probed: str) -> Request:
    query = urlencode({"module": "probe", "target": probed})
    return Request("GET", f"http://{address}/probe?{query}", (), None, ANSWER_WITHIN_SECONDS)


def _ask(callers: Transfers, requests: Sequence[Request]) -> Callable[[], int]:
    """As many at once as there are callers; how many probes did not succeed."""
    left, succeeded, done = iter(enumerate(requests)), 0, 0
    while done < len(requests):
        for number, request in islice(left, callers.capacity - callers.in_flight):
            callers.start(request, number)
        for _number, answer in callers.perform(ANSWER_WITHIN_SECONDS):
            done += 1
            succeeded += b"probe_success 1" in answer.body
    return lambda: len(requests) - succeeded


def run(servers: Servers, folder: Path, options: Options) -> ProbesReport:
    """All rounds, in turns. Logs go to the folder."""
    began_at = datetime.now(UTC)
    about = machine.describe(servers.database_url, servers.redis_url)
    titles = {name: title for name, title in TITLES.items() if name in options.only}
    absent: dict[str, str] = {}
    measured: list[ProbeRound] = []
    with running_target() as target:
        there: dict[str, Tocsin | Blackbox] = {}
        settings = settings_for(servers, folder)
        for name, workers in ((ONE, 1), (TWO, 2)):
            if name in options.only:
                there[name] = Tocsin(name, workers, settings, target, options.probes)
        binary = find(BLACKBOX, folder) if PEER in options.only else None
        if binary is not None:
            few = max(options.probes // PEER_SHARE, 1)
            there[PEER] = Blackbox(binary, folder, target, few, options.callers)
        elif PEER in options.only:
            absent[PEER] = HOW_TO_INSTALL
        for turn in range(1, options.rounds + 1):
            for name, contestant in there.items():
                one = contestant.measure(f"{name}-{turn}")
                measured.append(one)
                said = f"void: {one.void}" if one.void else f"{one.rate:,.0f}/s"
                say(f"probes, round {turn}, {name}: {said}, steal {one.steal_percent:.1f} %")
    return ProbesReport(began_at.isoformat(), about, options.callers, titles, absent, measured)


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("probes", __doc__)
    parser.add_argument("--probes", type=positive, default=20_000, help="by Tocsin, each round")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--callers", type=positive, default=16, help="of blackbox_exporter")
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    return parser


def _measure(servers: Servers, folder: Path, given: argparse.Namespace) -> ProbesReport:
    return run(servers, folder, Options(given.probes, given.rounds, given.callers, given.only))


BENCHMARK = command.Benchmark("probes", _parser(), _measure)

if __name__ == "__main__":
    sys.exit(command.main([BENCHMARK], sys.argv[1:]))
