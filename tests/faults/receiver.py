"""A receiver in a process of its own, that writes down what it got before it answers.

`python -m tests.faults.receiver JOURNAL SEED` prints its port and serves until SIGTERM. The first
part of a path says how it behaves (`BEHAVIOURS`); checks, which are GETs, get a 200. One line
of JSON in the journal for each POST: `hook` (the path), `at` (monotonic), `status`, `id`,
`timestamp`, `signature`, `body`.
"""

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from app.adapters.embedded import dependent
from tests.harness.system import ROOT

STOP_WITHIN_SECONDS = 5
REASONS = {200: "OK", 204: "No Content", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 204
    after_seconds: float = 0.0
    headers: str = ""


def _flaky(chance: random.Random) -> Reply:
    return Reply(500) if chance.random() < 0.2 else Reply()


def _busy(chance: random.Random) -> Reply:
    return Reply(429, headers="Retry-After: 1\r\n") if chance.random() < 0.02 else Reply()


def _slow(chance: random.Random) -> Reply:
    return Reply(after_seconds=chance.uniform(0.05, 0.5))


# How the hooks of a run behave: how many of each, and how each answers.
BEHAVIOURS: dict[str, tuple[int, Callable[[random.Random], Reply]]] = {
    "steady": (5, lambda _chance: Reply()),
    "flaky": (1, _flaky),
    "busy": (1, _busy),
    "slow": (1, _slow),
}
HOOKS = [f"/{name}/{number}" for name, (count, _) in BEHAVIOURS.items() for number in range(count)]


def is_steady(hook: str) -> bool:
    """Whether it takes everything at once, so that whatever is late is not its doing."""
    return hook.startswith("/steady/")


class Receiver:
    """The running process, and what it has written down."""

    def __init__(self, port: int, journal: Path) -> None:
        self.port = port
        self._journal = journal.open("rb")

    def url(self, hook: str) -> str:
        return f"http://127.0.0.1:{self.port}{hook}"

    def news(self) -> Iterator[dict[str, Any]]:
        """What came since the last call."""
        while True:
            begin = self._journal.tell()
            line = self._journal.readline()
            if not line.endswith(b"\n"):
                self._journal.seek(begin)
                return
            yield json.loads(line)

    def close(self) -> None:
        self._journal.close()


@contextmanager
def running_receiver(journal: Path, seed: int) -> Iterator[Receiver]:
    journal.touch()
    process = subprocess.Popen(
        dependent([sys.executable, "-m", "tests.faults.receiver", str(journal), str(seed)]),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        receiver = None
        try:
            receiver = Receiver(int(process.stdout.readline()), journal)
            yield receiver
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            if receiver is not None:
                receiver.close()


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    chance: random.Random,
    journal: IO[str],
) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request_line, *lines = head.rstrip().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _version = request_line.split(" ")
            reply = Reply(200)
            if method == "POST":
                reply = BEHAVIOURS[path.split("/")[1]][1](chance)
                _write_down(journal, path, reply.status, headers, body)
            if reply.after_seconds:
                await asyncio.sleep(reply.after_seconds)
            writer.write(_answer(reply))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the sender has gone, or was killed
    finally:
        writer.close()


def _answer(reply: Reply) -> bytes:
    length = "" if reply.status == 204 else "Content-Length: 0\r\n"
    head = f"HTTP/1.1 {reply.status} {REASONS[reply.status]}\r\n{length}{reply.headers}\r\n"
    return head.encode()


def _write_down(
    journal: IO[str], path: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    line = {
        "hook": path,
        "at": time.monotonic(),
        "status": status,
        "id": headers.get("webhook-id", ""),
        "timestamp": headers.get("webhook-timestamp", ""),
        "signature": headers.get("webhook-signature", ""),
        "body": body.decode(),
    }
    journal.write(json.dumps(line) + "\n")
    journal.flush()


async def serve(journal: IO[str], chance: random.Random) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = await asyncio.start_server(
        lambda reader, writer: _converse(reader, writer, chance, journal), sock=listening
    )
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    await stopped.wait()
    server.close()


def main(arguments: Sequence[str]) -> None:
    path, seed = arguments
    with Path(path).open("a", encoding="utf-8") as journal:
        asyncio.run(serve(journal, random.Random(seed)))


if __name__ == "__main__":
    main(sys.argv[1:])
