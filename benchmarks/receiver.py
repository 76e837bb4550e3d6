"""A receiver that is hardly there: it answers 204 and keeps the ledger.

`python -m benchmarks.receiver` prints its port and serves until SIGTERM. The first part of a
path names the run that a message belongs to:

    POST /RUN/…        counted, by the header webhook-id
    GET  /RUN/count    how many different ids came
    GET  /RUN/ledger   all that is known of the run, as JSON

`Receiver` runs one in a process of its own, so that it takes no turn from its caller.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pycurl
import requests

from app.adapters.embedded import dependent

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).parents[1]
MAX_HEAD_BYTES = 64 * 1024
ANSWER_WITHIN_SECONDS = 10
STOP_WITHIN_SECONDS = 5
CEILING_SECONDS = 1.0
CEILING_CONNECTIONS = 64
ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(slots=True)
class Tally:
    """What came for one run. Times are by the monotonic clock, which processes share."""

    received: int = 0
    first_at: float = 0.0
    last_new_at: float = 0.0
    ids: set[bytes] = field(default_factory=set)
    sample: tuple[bytes, bytes] = (b"", b"")  # head and body of the first

    def count(self, message_id: bytes, head: bytes, body: bytes) -> None:
        self.received += 1
        if message_id not in self.ids:
            self.last_new_at = time.monotonic()
            if not self.ids:
                self.first_at = self.last_new_at
                self.sample = (head, body)
            self.ids.add(message_id)

    def shown(self) -> bytes:
        head, body = self.sample
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        return json.dumps(
            {
                "received": self.received,
                "first_at": self.first_at,
                "last_new_at": self.last_new_at,
                "ids": [one.decode() for one in self.ids],
                "sample_headers": {
                    name.decode().lower(): value.strip().decode() for name, _, value in lines
                },
                "sample_body": body.decode(),
            }
        ).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 by hand, as much as a sender of webhooks needs: kept alive, pipelined or not."""

    def __init__(self, tallies: defaultdict[bytes, Tally]) -> None:
        self._tallies = tallies
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        unread = self._unread + data if self._unread else data
        while unread:
            head_ends = unread.find(b"\r\n\r\n")
            if head_ends < 0:
                if len(unread) > MAX_HEAD_BYTES:
                    self._refuse()
                    return
                break
            head = unread[:head_ends]
            names = head.lower()
            ends = head_ends + 4 + int(_value(head, names, b"content-length") or b"0")
            if len(unread) < ends:
                break
            try:
                method, path, _version = head[: head.index(b"\r")].split(b" ")
                _empty, run, *rest = path.split(b"/")
            except ValueError:
                self._refuse()
                return
            if method == b"POST":
                message_id = _value(head, names, b"webhook-id")
                self._tallies[run].count(message_id, head, unread[head_ends + 4 : ends])
                self._transport.write(ACCEPTED)
            else:
                self._show(run, rest)
            unread = unread[ends:]
        self._unread = unread

    def _show(self, run: bytes, rest: list[bytes]) -> None:
        tally = self._tallies[run]
        body = tally.shown() if rest == [b"ledger"] else b"%d" % len(tally.ids)
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    def _refuse(self) -> None:
        self._transport.write(REFUSED)
        self._transport.close()


def _value(head: bytes, names: bytes, name: bytes) -> bytes:
    """A header's value; empty without that header. `names` is `head` in lower case."""
    found = names.find(b"\r\n" + name + b":")
    if found < 0:
        return b""
    begins = found + len(name) + 3
    ends = head.find(b"\r\n", begins)
    return head[begins : ends if ends >= 0 else len(head)].strip()


async def serve() -> None:
    tallies: defaultdict[bytes, Tally] = defaultdict(Tally)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    listening = socket.create_server((LOOPBACK, 0), backlog=1024)
    server = await loop.create_server(lambda: Connection(tallies), sock=listening)
    print(listening.getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


@dataclass(frozen=True)
class Ledger:
    """What the receiver says of a run."""

    received: int
    first_at: float
    last_new_at: float
    ids: frozenset[str]
    sample_headers: dict[str, str]
    sample_body: str


class Receiver:
    """A receiver in a process of its own, and the questions to it."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port
        self._session = requests.Session()
        self._session.trust_env = False

    def url(self, run: str, hook: int) -> str:
        return f"http://{LOOPBACK}:{self.port}/{run}/hook-{hook}"

    def count(self, run: str) -> int:
        """How many different messages came."""
        return int(self._ask(f"{run}/count"))

    def ledger(self, run: str) -> Ledger:
        answer = self._ask(f"{run}/ledger")
        return Ledger(**answer | {"ids": frozenset(answer["ids"])})

    def _ask(self, path: str) -> Any:
        url = f"http://{LOOPBACK}:{self.port}/{path}"
        answer = self._session.get(url, timeout=ANSWER_WITHIN_SECONDS)
        answer.raise_for_status()
        return answer.json()

    def ceiling(self, body: bytes) -> float:
        """Requests per second that it takes from a bare libcurl loop, which signs nothing."""
        headers = ["content-type: application/json", "Expect:", "webhook-id: msg_" + "0" * 32]
        multi = pycurl.CurlMulti()
        handles = [pycurl.Curl() for _ in range(CEILING_CONNECTIONS)]
        for handle in handles:
            handle.setopt(pycurl.URL, self.url("ceiling", 0))
            handle.setopt(pycurl.HTTPHEADER, headers)
            handle.setopt(pycurl.POSTFIELDS, body)
            handle.setopt(pycurl.PROXY, "")
            multi.add_handle(handle)
        done = 0
        began = time.monotonic()
        while (now := time.monotonic()) < began + CEILING_SECONDS:
            multi.perform()
            _queued, succeeded, failed = multi.info_read()
            if failed:
                raise RuntimeError(f"the receiver failed: {failed[0]}")
            for handle in succeeded:
                multi.remove_handle(handle)
                multi.add_handle(handle)
            done += len(succeeded)
            if not succeeded:
                multi.select(0.01)
        for handle in handles:
            multi.remove_handle(handle)
            handle.close()
        multi.close()
        return done / (now - began)


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    process = subprocess.Popen(
        dependent([sys.executable, "-m", "benchmarks.receiver"]),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield Receiver(process.pid, int(process.stdout.readline()))
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    asyncio.run(serve())
