"""The sending half of a drain: a thread of its own, which owns libcurl.

The other half talks to PostgreSQL, and neither stands still while the other waits. What passes
between them is bounded by the leases that the other half holds:

    give, withdraw → orders → (waiting) → transfers → outcomes → take
"""

import threading
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import structlog

from app.adapters.clock import Clock
from app.adapters.http import Failure, Guard, Response, Transfers
from app.services.claims import Claim
from app.services.messages import Target, signed_request

log = structlog.get_logger(__name__)

# Few enough at once that the first are answered while the next are made ready: the connections
# that they need are then fewer, too.
START_AT_ONCE = 32
WAIT_SECONDS = 0.1


class Job(NamedTuple):
    """A message to be sent once. Its tag is the lease it was made for, so it is nobody else's."""

    claim: Claim
    target: Target

    @property
    def tag(self) -> str:
        return self.claim.lease_token


class Sender:
    """All methods are for one thread, the drain's; `at_work` runs the other.

    At rest, what is in flight stays so, and everything is as it was left.
    """

    def __init__(self, clock: Clock, guard: Guard, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        # Of both threads: only appended to and taken from, which is safe.
        self._orders: deque[tuple[Job, bool]] = deque()
        self._outcomes: deque[tuple[Job, Response]] = deque()
        self._enough = 1
        self._news = threading.Event()
        self._is_stopping = False
        self._failure: BaseException | None = None
        # Of the thread at work.
        self._waiting: dict[str, Job] = {}
        self._sending: dict[Hashable, Job] = {}
        self._transfers = Transfers(guard, capacity)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Sends, in a thread that ends with the block. Raises what that thread has raised."""
        self._is_stopping, self._failure = False, None
        thread = threading.Thread(target=self._work, name="sender", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_stopping = True
            self._transfers.wake()
            thread.join()
        self._raise_failure()

    def give(self, jobs: Iterable[Job]) -> None:
        """To be sent, in this order."""
        self._orders.extend((job, True) for job in jobs)
        self._transfers.wake()

    def withdraw(self, job: Job) -> None:
        """Not to be sent, or no more waited for. An outcome that is there already stays."""
        self._orders.append((job, False))
        self._transfers.wake()

    def take(self) -> list[tuple[Job, Response]]:
        """What has come of jobs since the last time. Raises what the thread has raised."""
        self._raise_failure()
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def wait(self, enough: int, seconds: float) -> None:
        """Until there are so many outcomes, or nothing is left to be sent; `seconds` at most."""
        self._enough = enough
        self._news.clear()
        # Asked after both: what the other thread does from here on, it tells.
        if not self._has_news():
            self._news.wait(seconds)

    def take_unsent(self) -> list[Job]:
        """At rest: takes back what has not left, nor will."""
        self._heed_orders()
        unsent = list(self._waiting.values())
        self._waiting.clear()
        return unsent

    def close(self) -> None:
        """At rest: gives up what is in flight."""
        self._transfers.close()

    def _has_news(self) -> bool:
        left = self._orders or self._waiting or self._sending
        return len(self._outcomes) >= self._enough or not left or self._failure is not None

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # The thread at work.

    def _work(self) -> None:
        try:
            while not self._is_stopping:
                self._heed_orders()
                self._start_some()
                can_start = self._waiting and self._transfers.in_flight < self._capacity
                finished = self._transfers.perform(0 if can_start else WAIT_SECONDS, idle=True)
                self._outcomes.extend((self._sending.pop(tag), answer) for tag, answer in finished)
                if self._has_news():
                    self._news.set()
        except BaseException as error:
            self._failure = error
            self._news.set()

    def _heed_orders(self) -> None:
        while self._orders:
            job, is_to_be_sent = self._orders.popleft()
            if is_to_be_sent:
                self._waiting[job.tag] = job
            elif self._waiting.pop(job.tag, None) is None:
                self._transfers.cancel(job.tag)
                self._sending.pop(job.tag, None)

    def _start_some(self) -> None:
        room = min(self._capacity - self._transfers.in_flight, START_AT_ONCE)
        if not self._waiting or room <= 0:
            return
        now = self._clock.now()
        for job in list(islice(self._waiting.values(), room)):
            del self._waiting[job.tag]
            try:
                request = signed_request(job.target, job.claim.message_id, job.claim.body, now)
                self._transfers.start(request, job.tag)
            except Exception as error:
                # One that can't be sent must not stop the others, nor be held for ever.
                log.exception("not sent", action="send_failed", delivery=job.claim.id)
                unsent = Response(None, 0.0, Failure.PROTOCOL, f"Not sent: {error}.", None, b"")
                self._outcomes.append((job, unsent))
            else:
                self._sending[job.tag] = job
