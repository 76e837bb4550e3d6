"""What is probed: a server that is hardly there, and clocks every probe.

`python -m benchmarks.target` prints its port and serves until SIGTERM. Every connection is one
request and its answer. The first part of a path names the run that a probe belongs to, the second
the webhook:

    GET /RUN/NUMBER   answered 200 with a few bytes
    GET /RUN/times    all probes of the run: how many, and when each webhook's came

One blocking loop, which takes a connection once its request is there (TCP_DEFER_ACCEPT): it costs
both sides of a comparison the same, so it must cost little.
"""

import json
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from benchmarks.processes import listening
from benchmarks.receiver import ANSWER_WITHIN_SECONDS, BACKLOG, LOOPBACK

MAX_REQUEST_BYTES = 4096
DEFER_SECONDS = 5
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n"


def serve() -> None:
    times: defaultdict[bytes, list[tuple[bytes, float]]] = defaultdict(list)
    listening = socket.create_server((LOOPBACK, 0), backlog=BACKLOG)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)
    print(listening.getsockname()[1], flush=True)
    while True:
        connection, _ = listening.accept()
        try:
            asked = connection.recv(MAX_REQUEST_BYTES, socket.MSG_DONTWAIT)
            _method, path, _rest = asked.split(b" ", 2)
            _empty, run, what = path.split(b"/")
            if what == b"times":
                connection.sendall(_shown(times[run]))
            else:
                times[run].append((what, time.time()))
                connection.send(ANSWER)
        except (OSError, ValueError):
            pass  # no request, or none that is ours
        connection.close()


def _shown(times: Sequence[tuple[bytes, float]]) -> bytes:
    by_number: defaultdict[str, list[float]] = defaultdict(list)
    for number, at in times:
        by_number[number.decode()].append(at)
    body = json.dumps(by_number).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body


@dataclass(frozen=True)
class Target:
    """One in a process of its own, and the question to it."""

    pid: int
    port: int

    def url(self, run: str, number: int | str) -> str:
        return f"http://{LOOPBACK}:{self.port}/{run}/{number}"

    def times(self, run: str) -> Mapping[int, Sequence[float]]:
        """When each webhook was probed, in epoch seconds, by its number."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(self.url(run, "times"), timeout=ANSWER_WITHIN_SECONDS)
        return {int(number): times for number, times in answer.json().items()}


@contextmanager
def running_target() -> Iterator[Target]:
    with listening("benchmarks.target") as (pid, port):
        yield Target(pid, port)


if __name__ == "__main__":
    serve()
