"""Name lookups that hang, one name at a time.

libcurl's own resolver has 20 threads, takes two for each lookup even when the name is the
same, and is waited for when it is closed. Sixteen requests to one receiver whose name
server is silent (measured) stop every lookup of every other. Here a name has one lookup at
a time, however many ask for it, and nobody ever waits for one that is given up.
"""

import os
import socket
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass

MAX_THREADS = 256
MAX_NAMES = 10_000
# getaddrinfo doesn't tell the record's own lifetime; these are libcurl's.
ANSWER_SECONDS = 60.0
FAILURE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """All addresses of a name, in the order to try them; none, and why, when it has none."""

    addresses: tuple[str, ...]
    error: str | None
    good_until: float


class Resolver:
    """Looks names up in threads of its own, and remembers for a while. Thread-safe (Linux)."""

    def __init__(self) -> None:
        self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Not before the last thread has let go: a number closed early names another file soon.
        weakref.finalize(self, os.close, self._news).atexit = False
        self._changed = threading.Condition()
        self._known: dict[str, Answer] = {}
        self._pending: set[str] = set()
        self._queue: deque[str] = deque()
        self._threads = 0

    def fileno(self) -> int:
        """A descriptor that becomes readable, edge by edge, with each answer."""
        return self._news

    def lookup(self, name: str) -> Answer | None:
        """What is known of `name`; None while it is being looked up, so ask again. Never waits."""
        with self._changed:
            answer = self._known.get(name)
            if answer is not None and time.monotonic() < answer.good_until:
                return answer
            if name not in self._pending:
                self._pending.add(name)
                self._queue.append(name)
                if self._threads < MAX_THREADS:
                    self._threads += 1
                    threading.Thread(target=self._work, name="resolver", daemon=True).start()
            return None

    def wait(self, name: str, seconds: float) -> Answer | None:
        """The same, but waits for the answer, `seconds` at most."""
        with self._changed:
            self._changed.wait_for(lambda: self.lookup(name) is not None, seconds)
            return self.lookup(name)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._threads -= 1
                    return
                name = self._queue.popleft()
            answer = _ask(name)
            with self._changed:
                self._pending.discard(name)
                self._known.pop(name, None)
                self._known[name] = answer
                if len(self._known) > MAX_NAMES:
                    del self._known[next(iter(self._known))]  # the oldest answer
                self._changed.notify_all()
            os.eventfd_write(self._news, 1)


def _ask(name: str) -> Answer:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return Answer((), error.strerror, time.monotonic() + FAILURE_SECONDS)
    addresses = tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    return Answer(addresses, None, time.monotonic() + ANSWER_SECONDS)
