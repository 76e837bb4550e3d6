"""The stream: 500 readers beside `websockets.broadcast`, a reader that stalls, 1,000 held.

    python -m benchmarks.stream [--readers N] [--held N] [--bursts B] [--burst N] [--rounds R]

In turns, with the same readers, in a process of their own that counts marks in bytes:

- Tocsin: one web process as `make run` starts it. Messages go into Redis, from where its listener
  takes them, numbers them into frames and hands them to the loop of its sockets: the whole way
  of an event but for the row that it is about. A burst goes in at once.
- The peer: a server of `websockets` that makes messages itself and calls `broadcast` for each.
- Tocsin, with one more reader that never reads.

A round sends bursts of messages of 1 KB; the next burst goes out when all readers have all of the
one before, so that nobody drops anything; the rate is messages that readers got per second.
Besides, single messages: from sending one until the last of all readers has it.

Then sockets are held while four clients ask GET /api/v1/auth/me as fast as they are answered, and
figures and 20 alerts a second go out to all of them; before that, the same without sockets.

The peer comes from the package index, into an environment of its own.
All of it shares this machine's processors.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import redis
import requests

from app.adapters.embedded import Servers, free_port
from app.adapters.stream import MESSAGES, SEQ
from app.deps import build
from app.services.api_keys import create_api_key
from app.settings import Settings, as_environment
from benchmarks import command, machine
from benchmarks.command import positive, say
from benchmarks.figures import percentile
from benchmarks.processes import ROOT, running, wait_for
from benchmarks.stream_report import Held, Round, StreamReport
from benchmarks.tocsin import settings_for
from benchmarks.venvs import python_of

PEERS = Path(__file__).parent / "peers"
MESSAGE_BYTES = 1000
SINGLES = 20
CLIENTS = 4
HELD_SECONDS = 10.0
ALERTS_A_SECOND = 20
UP_WITHIN_SECONDS = 120.0
BURST_WITHIN_SECONDS = 60.0

Send = Callable[[int], None]


@dataclass(frozen=True)
class Options:
    readers: int
    held: int
    bursts: int
    burst: int
    rounds: int


class Readers:
    """The readers' process."""

    def __init__(self, url: str, readers: int, stalled: int, burst: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stream_readers", url, str(readers), str(stalled),
             str(burst)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if self.line() != "ready":
            raise RuntimeError("the readers did not come up")

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


# In one step: the teller goes on meanwhile, and takes numbers, too.
_PUBLISH = """
local seq = tonumber(redis.call('GET', KEYS[1]))
for _ = 1, ARGV[1] do
  seq = seq + 1
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 2000, string.format('%d-0', seq),
    't', 'alert', 'at', '2026-11-28T04:00:00.000000+00:00', 'd', ARGV[2])
end
redis.call('SET', KEYS[1], string.format('%d', seq))
"""


def _publish(client: "redis.Redis", count: int) -> None:
    """Messages of the topic that the readers asked for, as the teller puts them there."""
    data = b'{"title":"^%b"}' % (b"x" * (MESSAGE_BYTES - 100))
    client.eval(_PUBLISH, 2, SEQ, MESSAGES, count, data)


@contextmanager
def _web(settings: Settings) -> Iterator[list[int]]:
    command_line = [sys.executable, "-m", "gunicorn", "--config", "python:app.serve"]
    log = settings.data_dir / "web.log"
    programs = [[*command_line, "app.factory:create_app()"]]
    with running(programs, as_environment(settings), log) as pids:
        url = f"http://127.0.0.1:{settings.port}/health/ready"
        wait_for(lambda: _answers(url), UP_WITHIN_SECONDS, "the web")
        yield pids


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


@contextmanager
def _peer() -> Iterator[tuple[str, Send, list[int]]]:
    """Its URL, what makes it broadcast so many messages, its pid."""
    python = python_of("websockets", PEERS / "websockets_broadcast.txt")
    process = subprocess.Popen(
        [python, str(PEERS / "websockets_broadcast.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    orders = process.stdin

    def send(count: int) -> None:
        orders.write(f"{count} {MESSAGE_BYTES}\n")
        orders.flush()

    try:
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}/", send, [process.pid]
    finally:
        process.terminate()
        process.wait(10)


def _measure(
    name: str, url: str, send: Send, pids: Sequence[int], options: Options, stalled: int = 0
) -> Round:
    readers = Readers(url, options.readers, stalled, options.burst)
    try:
        ticks, used = machine.Ticks.now(), machine.cpu_seconds(pids)
        began_at = time.monotonic()
        for _burst in range(options.bursts):
            send(options.burst)
            ended_at = float(readers.line())
        seconds = ended_at - began_at
        ticks = machine.Ticks.now().since(ticks)
        used = machine.cpu_seconds(pids) - used
    finally:
        readers.close()
    single = Readers(url, options.readers, stalled, 1)
    try:
        took = []
        for _message in range(SINGLES):
            sent_at = time.monotonic()
            send(1)
            took.append(1000 * (float(single.line()) - sent_at))
    finally:
        single.close()
    messages = options.readers * options.bursts * options.burst
    steal = 100 * ticks.stolen / ticks.total
    found = Round(
        name,
        messages / seconds,
        1e6 * used / messages,
        median(took),
        percentile(took, 0.95),
        steal,
    )
    say(
        f"{name}: {found.rate:,.0f} messages/s, {found.cpu_us:.1f} µs of the server's CPU for each,"
        f" one message to all in {found.single_p50_ms:.1f} ms"
    )
    return found


def _ask(settings: Settings, token: str, seconds: float) -> list[float]:
    """How long each answer took, in ms. Raises where one was none."""
    took: list[float] = []
    until = time.monotonic() + seconds

    def client() -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {token}"
            while (began_at := time.monotonic()) < until:
                answer = session.get(f"http://127.0.0.1:{settings.port}/api/v1/auth/me", timeout=30)
                answer.raise_for_status()
                took.append(1000 * (time.monotonic() - began_at))

    clients = [threading.Thread(target=client) for _client in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return took


def _hold(settings: Settings, token: str, url: str, send: Send, sockets: int) -> Held:
    """What REST does while so many sockets are held and told of alerts."""
    if not sockets:
        return Held.of(0, _ask(settings, token, HELD_SECONDS), 0)
    readers = Readers(url, sockets, 0, ALERTS_A_SECOND)
    heard: list[str] = []
    done = threading.Event()

    def tell() -> None:
        while not done.is_set():
            for _alert in range(ALERTS_A_SECOND):
                send(1)
                time.sleep(1 / ALERTS_A_SECOND)
            heard.append(readers.line())

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        took = _ask(settings, token, HELD_SECONDS)
    finally:
        done.set()
        teller.join()
        readers.close()
    return Held.of(sockets, took, len(heard) * ALERTS_A_SECOND * sockets)


def measure(servers: Servers, folder: Path, given: argparse.Namespace) -> StreamReport:
    options = Options(given.readers, given.held, given.bursts, given.burst, given.rounds)
    began_at = datetime.now(UTC).isoformat()
    about = machine.describe(servers.database_url, servers.redis_url)
    settings = settings_for(servers, folder).model_copy(
        update={
            "port": free_port(),
            "web_concurrency": 1,
            "rate_limit_requests": 10**9,
            "stream_sockets": 10 * options.held,
            "stream_sockets_per_user": 10 * options.held,
        }
    )
    deps = build(settings)
    with deps.unit_of_work() as work:
        _row, token = create_api_key(work.session, None, {"name": "bench", "role": "viewer"})
    deps.close()
    client = redis.Redis.from_url(servers.redis_url)
    url = f"ws://127.0.0.1:{settings.port}/api/v1/ws/dashboard?topics=alerts&token={token}"

    def send(count: int) -> None:
        _publish(client, count)

    rounds: list[Round] = []
    with _web(settings) as web, _peer() as (peer_url, peer_send, peer):
        client.set(SEQ, int(time.time() * 1000), nx=True)
        for _round in range(options.rounds):
            rounds.append(_measure("tocsin", url, send, web, options))
            rounds.append(_measure("peer", peer_url, peer_send, peer, options))
            rounds.append(_measure("stalled", url, send, web, options, stalled=1))
        held = [_hold(settings, token, url, send, sockets) for sockets in (0, options.held)]
    client.close()
    return StreamReport(began_at, about, options.readers, tuple(rounds), tuple(held))


def _parser() -> argparse.ArgumentParser:
    parser = command.parser_for("stream", __doc__)
    parser.add_argument("--readers", type=positive, default=500)
    parser.add_argument("--held", type=positive, default=1000)
    parser.add_argument("--bursts", type=positive, default=20)
    parser.add_argument("--burst", type=positive, default=100)
    parser.add_argument("--rounds", type=positive, default=3)
    return parser


BENCHMARK = command.Benchmark("stream", _parser(), measure)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.main([BENCHMARK], arguments)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
