"""The probing half of a checker.

What a probe shows is judged here, so that a failure that needs it is confirmed at once, with the
same lease.
"""

from collections import deque
from collections.abc import Hashable, Iterable

import structlog

from app.adapters.guard import Guard
from app.adapters.http_messages import Failure, Response
from app.services.health_checks import Check, CheckResult, confirm, judge_response
from app.services.transfer_thread import TransferThread

log = structlog.get_logger(__name__)


class Prober(TransferThread[CheckResult]):
    """Probes what is to be checked; each check comes to its result."""

    name = "prober"

    def __init__(self, guard: Guard, capacity: int) -> None:
        super().__init__(guard, capacity)
        # Of both threads: only appended to and taken from, which is safe.
        self._orders: deque[Check] = deque()
        # Of the thread at work.
        self._in_flight: dict[Hashable, tuple[Check, CheckResult | None]] = {}

    def give(self, checks: Iterable[Check]) -> None:
        """To be probed, in this order."""
        self._orders.extend(checks)
        self._transfers.wake()

    # The thread at work.

    def _has_work(self) -> bool:
        return bool(self._orders or self._in_flight)

    def _is_waiting(self) -> bool:
        return bool(self._orders)

    def _start_some(self, room: int) -> None:
        for _ in range(min(room, len(self._orders))):
            self._start(self._orders.popleft(), None)

    def _start(self, check: Check, first: CheckResult | None) -> None:
        self._in_flight[check.lease_token] = (check, first)
        try:
            self._transfers.start(check.plan.request, check.lease_token)
        except Exception as error:
            # One that can't be probed must not stop the others.
            log.exception("not probed", action="probe_failed", webhook_id=check.webhook_id)
            unsent = Response(None, 0.0, Failure.PROTOCOL, f"Not sent: {error}.", None, b"")
            self._finish(check.lease_token, unsent)

    def _finish(self, tag: Hashable, response: Response) -> None:
        check, first = self._in_flight.pop(tag)
        result = judge_response(check, response) if first is None else confirm(first, response)
        if result.wants_confirmation:
            self._start(check, result)
        else:
            self._outcomes.append(result)
