"""The probing half of a checker: a thread of its own, which owns libcurl.

The other half talks to PostgreSQL, and neither stands still while the other waits. What a probe
shows is judged here, so that a failure that needs it is confirmed at once, with the same lease.
"""

import threading
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager

import structlog

from app.adapters.http import Failure, Guard, Response, Transfers
from app.services.health_checks import Check, CheckResult, confirm, judge_response

log = structlog.get_logger(__name__)

# Few enough at once that the first are answered while the next are dialled.
START_AT_ONCE = 32
WAIT_SECONDS = 0.1


class Prober:
    """All methods are for one thread, the checker's; `at_work` runs the other.

    At rest, what is in flight stays so, and everything is as it was left.
    """

    def __init__(self, guard: Guard, capacity: int) -> None:
        self._capacity = capacity
        # Of both threads: only appended to and taken from, which is safe.
        self._orders: deque[Check] = deque()
        self._results: deque[CheckResult] = deque()
        self._enough = 1
        self._news = threading.Event()
        self._is_stopping = False
        self._failure: BaseException | None = None
        # Of the thread at work.
        self._in_flight: dict[Hashable, tuple[Check, CheckResult | None]] = {}
        self._transfers = Transfers(guard, capacity)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Probes, in a thread that ends with the block. Raises what that thread has raised."""
        self._is_stopping, self._failure = False, None
        thread = threading.Thread(target=self._work, name="prober", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_stopping = True
            self._transfers.wake()
            thread.join()
        self._raise_failure()

    def give(self, checks: Iterable[Check]) -> None:
        """To be probed, in this order."""
        self._orders.extend(checks)
        self._transfers.wake()

    def take(self) -> list[CheckResult]:
        """What has come of checks since the last time. Raises what the thread has raised."""
        self._raise_failure()
        return [self._results.popleft() for _ in range(len(self._results))]

    def wait(self, enough: int, seconds: float) -> None:
        """Until there are so many results, or nothing is left to be probed; `seconds` at most."""
        self._enough = enough
        self._news.clear()
        # Asked after both: what the other thread does from here on, it tells.
        if not self._has_news():
            self._news.wait(seconds)

    def close(self) -> None:
        """At rest: gives up what is in flight."""
        self._transfers.close()

    def _has_news(self) -> bool:
        left = self._orders or self._in_flight
        return len(self._results) >= self._enough or not left or self._failure is not None

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # The thread at work.

    def _work(self) -> None:
        try:
            while not self._is_stopping:
                self._start_some()
                can_start = self._orders and self._transfers.in_flight < self._capacity
                for tag, response in self._transfers.perform(
                    0 if can_start else WAIT_SECONDS, idle=True
                ):
                    self._judge(tag, response)
                if self._has_news():
                    self._news.set()
        except BaseException as error:
            self._failure = error
            self._news.set()

    def _start_some(self) -> None:
        room = min(self._capacity - self._transfers.in_flight, START_AT_ONCE, len(self._orders))
        for _ in range(room):
            self._start(self._orders.popleft(), None)

    def _start(self, check: Check, first: CheckResult | None) -> None:
        self._in_flight[check.lease_token] = (check, first)
        try:
            self._transfers.start(check.request, check.lease_token)
        except Exception as error:
            # One that can't be probed must not stop the others.
            log.exception("not probed", action="probe_failed", webhook_id=check.webhook_id)
            unsent = Response(None, 0.0, Failure.PROTOCOL, f"Not sent: {error}.", None, b"")
            self._judge(check.lease_token, unsent)

    def _judge(self, tag: Hashable, response: Response) -> None:
        check, first = self._in_flight.pop(tag)
        result = judge_response(check, response) if first is None else confirm(first, response)
        if result.wants_confirmation:
            self._start(check, result)
        else:
            self._results.append(result)
