"""A receiver that is hardly there: it answers 204 and keeps the ledger.

`python -m benchmarks.receiver` prints its port and serves until SIGTERM. The first part of a
path names the run that a message belongs to, the second how it is answered:

    POST /RUN/hook-N…     at once
    POST /RUN/after-MS/…  that many milliseconds later
    POST /RUN/hangs/…     never
    GET  /RUN/count       how many different ids came
    GET  /RUN/ledger      all that is known of the run, as JSON

A message's id is its header webhook-id. Without one the body is Alertmanager's, and each alert
in it has its id as the label `alert_id`.

`Receiver` runs one in a process of its own, so that it takes no turn from its caller.
"""

import asyncio
import json
import resource
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import requests

from benchmarks.processes import listening

LOOPBACK = "127.0.0.1"
BACKLOG = 4096
MAX_HEAD_BYTES = 64 * 1024
ANSWER_WITHIN_SECONDS = 10
AT_ONCE, HANGS = "", "hangs"
ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(slots=True)
class Tally:
    """What came for one run.

    Its start and end are by the monotonic clock, which processes share. When each id first came
    is by the wall clock, which PostgreSQL shares.
    """

    received: int = 0
    first_at: float = 0.0
    last_new_at: float = 0.0
    received_at: dict[str, float] = field(default_factory=dict)
    sample: tuple[bytes, bytes] = (b"", b"")  # head and body of the first

    def count(self, message_id: str, head: bytes, body: bytes) -> None:
        self.received += 1
        if message_id not in self.received_at:
            self.last_new_at = time.monotonic()
            if not self.received_at:
                self.first_at = self.last_new_at
                self.sample = (head, body)
            self.received_at[message_id] = time.time()

    def shown(self) -> bytes:
        head, body = self.sample
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        return json.dumps(
            {
                "received": self.received,
                "first_at": self.first_at,
                "last_new_at": self.last_new_at,
                "received_at": self.received_at,
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
                _empty, run, how, *_rest = path.split(b"/")
            except ValueError:
                self._refuse()
                return
            if method == b"POST":
                body = unread[head_ends + 4 : ends]
                message_id = _value(head, names, b"webhook-id").decode()
                for one in (message_id,) if message_id else _ids_within(body):
                    self._tallies[run].count(one, head, body)
                self._answer(how)
            else:
                self._show(run, how)
            unread = unread[ends:]
        self._unread = unread

    def _answer(self, how: bytes) -> None:
        if how.startswith(b"after-"):
            seconds = int(how[6:]) / 1000
            asyncio.get_running_loop().call_later(seconds, self._transport.write, ACCEPTED)
        elif how != b"hangs":
            self._transport.write(ACCEPTED)

    def _show(self, run: bytes, what: bytes) -> None:
        tally = self._tallies[run]
        body = tally.shown() if what == b"ledger" else b"%d" % len(tally.received_at)
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


def _ids_within(body: bytes) -> list[str]:
    return [alert["labels"]["alert_id"] for alert in json.loads(body)["alerts"]]


async def serve() -> None:
    tallies: defaultdict[bytes, Tally] = defaultdict(Tally)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    # As many connections as a sender likes: it must not be us who limits it.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listening = socket.create_server((LOOPBACK, 0), backlog=BACKLOG)
    server = await loop.create_server(lambda: Connection(tallies), sock=listening)
    print(listening.getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


@dataclass(frozen=True)
class Ledger:
    """What the receiver says of a run. `received_at`: when each id first came, in epoch seconds."""

    received: int
    first_at: float
    last_new_at: float
    received_at: Mapping[str, float]
    sample_headers: Mapping[str, str]
    sample_body: str


def after(milliseconds: int) -> str:
    return f"after-{milliseconds}"


class Receiver:
    """A receiver in a process of its own, and the questions to it."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid = pid
        self.port = port
        self._session = requests.Session()
        self._session.trust_env = False

    def url(self, run: str, hook: int, how: str = AT_ONCE) -> str:
        """`how` it answers: AT_ONCE, `after(…)` or HANGS."""
        return "/".join(filter(None, (f"http://{LOOPBACK}:{self.port}", run, how, f"hook-{hook}")))

    def count(self, run: str) -> int:
        """How many different messages came."""
        return int(self._ask(f"{run}/count"))

    def ledger(self, run: str) -> Ledger:
        return Ledger(**self._ask(f"{run}/ledger"))

    def _ask(self, path: str) -> Any:
        url = f"http://{LOOPBACK}:{self.port}/{path}"
        answer = self._session.get(url, timeout=ANSWER_WITHIN_SECONDS)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    with listening("benchmarks.receiver") as (pid, port):
        yield Receiver(pid, port)


if __name__ == "__main__":
    asyncio.run(serve())
