"""The sending half of a drain.

give, withdraw → orders → (waiting) → transfers → outcomes → take
"""

from collections import deque
from collections.abc import Hashable, Iterable
from itertools import islice
from typing import NamedTuple

import structlog

from app.adapters.clock import Clock
from app.adapters.guard import Guard
from app.adapters.http_messages import Failure, Response
from app.services.claims import Claim
from app.services.messages import Target, signed_request
from app.services.transfer_thread import TransferThread

log = structlog.get_logger(__name__)


class Job(NamedTuple):
    """A message to be sent once. Its tag is the lease it was made for, so it is nobody else's."""

    claim: Claim
    target: Target

    @property
    def tag(self) -> str:
        return self.claim.lease_token


class Sender(TransferThread[tuple[Job, Response]]):
    """Sends jobs; each comes to its answer."""

    name = "sender"

    def __init__(self, clock: Clock, guard: Guard, capacity: int) -> None:
        super().__init__(guard, capacity)
        self._clock = clock
        # Of both threads: only appended to and taken from, which is safe.
        self._orders: deque[tuple[Job, bool]] = deque()
        # Of the thread at work.
        self._waiting: dict[str, Job] = {}
        self._sending: dict[Hashable, Job] = {}

    def give(self, jobs: Iterable[Job]) -> None:
        """To be sent, in this order."""
        self._orders.extend((job, True) for job in jobs)
        self._transfers.wake()

    def withdraw(self, job: Job) -> None:
        """Not to be sent, or no more waited for. An outcome that is there already stays."""
        self._orders.append((job, False))
        self._transfers.wake()

    def take_unsent(self) -> list[Job]:
        """At rest: takes back what has not left, nor will."""
        self._heed_orders()
        unsent = list(self._waiting.values())
        self._waiting.clear()
        return unsent

    # The thread at work.

    def _has_work(self) -> bool:
        return bool(self._orders or self._waiting or self._sending)

    def _is_waiting(self) -> bool:
        return bool(self._waiting)

    def _start_some(self, room: int) -> None:
        self._heed_orders()
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

    def _finish(self, tag: Hashable, response: Response) -> None:
        self._outcomes.append((self._sending.pop(tag), response))

    def _heed_orders(self) -> None:
        while self._orders:
            job, is_to_be_sent = self._orders.popleft()
            if is_to_be_sent:
                self._waiting[job.tag] = job
            elif self._waiting.pop(job.tag, None) is None:
                self._transfers.cancel(job.tag)
                self._sending.pop(job.tag, None)
