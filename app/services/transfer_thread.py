"""The half of a worker that owns libcurl: a thread of its own.

The other half talks to PostgreSQL, and neither stands still while the other waits. What passes
between them is bounded by the leases that the other half holds.
"""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from app.adapters.guard import Guard
from app.adapters.http import Transfers
from app.adapters.http_messages import Response

# Few enough at once that the first are answered while the next are made ready: the connections
# that they need are then fewer, too.
START_AT_ONCE = 32
WAIT_SECONDS = 0.1

Outcome = TypeVar("Outcome")


class TransferThread(ABC, Generic[Outcome]):
    """Public methods are for one thread, the other half's; `at_work` runs this one.

    At rest, what is in flight stays so, and everything is as it was left.
    """

    name: str

    def __init__(self, guard: Guard, capacity: int) -> None:
        # Of both threads: only appended to and taken from, which is safe.
        self._outcomes: deque[Outcome] = deque()
        self._enough = 1
        self._news = threading.Event()
        self._is_stopping = False
        self._failure: BaseException | None = None
        # Of the thread at work.
        self._capacity = capacity
        self._transfers = Transfers(guard, capacity)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """In a thread that ends with the block. Raises what that thread has raised."""
        self._is_stopping, self._failure = False, None
        thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_stopping = True
            self._transfers.wake()
            thread.join()
        self._raise_failure()

    def take(self) -> list[Outcome]:
        """What has come of it since the last time. Raises what the thread has raised."""
        self._raise_failure()
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def wait(self, enough: int, seconds: float) -> None:
        """Until there are so many outcomes, or nothing is left to be done; `seconds` at most."""
        self._enough = enough
        self._news.clear()
        # Asked after both: what the other thread does from here on, it tells.
        if not self._has_news():
            self._news.wait(seconds)

    def close(self) -> None:
        """At rest: gives up what is in flight."""
        self._transfers.close()

    def _has_news(self) -> bool:
        return (
            len(self._outcomes) >= self._enough or not self._has_work() or self._failure is not None
        )

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # The thread at work.

    def _work(self) -> None:
        try:
            while not self._is_stopping:
                self._start_some(min(self._room(), START_AT_ONCE))
                can_start = self._is_waiting() and self._room() > 0
                for tag, response in self._transfers.perform(
                    0 if can_start else WAIT_SECONDS, idle=True
                ):
                    self._finish(tag, response)
                if self._has_news():
                    self._news.set()
        except BaseException as error:
            self._failure = error
            self._news.set()

    def _room(self) -> int:
        return self._capacity - self._transfers.in_flight

    @abstractmethod
    def _has_work(self) -> bool:
        """Whether anything is given and has no outcome yet."""

    @abstractmethod
    def _is_waiting(self) -> bool:
        """Whether anything is still to be started."""

    @abstractmethod
    def _start_some(self, room: int) -> None:
        """Start at most so many."""

    @abstractmethod
    def _finish(self, tag: Hashable, response: Response) -> None:
        """What a transfer comes to."""
