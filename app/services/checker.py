"""The checker: probes the webhooks that are due, many at once, on one thread."""

import uuid
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.cipher import Cipher
from app.adapters.clock import Clock
from app.adapters.http import Transfers
from app.domain.health import CheckOutcome
from app.domain.samples import Series
from app.services.health_checks import Check, CheckResult, claim_due, judge_response, record
from app.services.meter import CHECK_LATENCY, Meter

log = structlog.get_logger(__name__)

CAPACITY = 256
WAIT_SECONDS = 0.05
PASS_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.5


class Checker:
    """For one thread. `run` checks until nothing is due; it uses what `Deps` holds."""

    def __init__(
        self,
        unit_of_work: Callable[[], Any],
        clock: Clock,
        cipher: Cipher,
        transfers: Transfers,
        default_timeout_seconds: int,
        retry_schedule: Sequence[int],
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._cipher = cipher
        self._transfers = transfers
        self._default_timeout = default_timeout_seconds
        self._retry_schedule = retry_schedule
        self._in_flight: dict[Hashable, Check] = {}
        self._finished: list[CheckResult] = []
        self._report: Counter[str] = Counter()

    @property
    def is_busy(self) -> bool:
        """Whether something is in flight: call `run` again at once."""
        return bool(self._in_flight or self._finished)

    def run(self, wants_look: Callable[[], bool], stopping: Callable[[], bool]) -> dict[str, int]:
        """Check until nothing is due or in flight, or for a few seconds.

        Returns how many were `checked`, and how many of them `failed`.
        """
        self._report.clear()
        look_at = 0.0
        until = self._clock.monotonic() + PASS_SECONDS
        while not stopping() and self._clock.monotonic() < until:
            claimed = 0
            if wants_look() or self._clock.monotonic() >= look_at:
                claimed = self._claim()
                look_at = self._clock.monotonic() + (0 if claimed else LOOK_EVERY_SECONDS)
            self._probe()
            if self._finished:
                self._record()
            if not (claimed or self.is_busy):
                break
        return dict(self._report)

    def close(self) -> None:
        """Record what is known; the rest becomes due again when its lease ends."""
        try:
            self._record()
        except SQLAlchemyError as error:
            log.warning("checks not recorded", action="record_failed", error=str(error))
        finally:
            self._transfers.close()

    def _claim(self) -> int:
        room = CAPACITY - len(self._in_flight)
        if room <= 0:
            return 0
        with self._unit_of_work() as work:
            checks = claim_due(work.session, self._cipher, room, self._default_timeout)
        for check in checks:
            tag = str(uuid.uuid4())
            self._in_flight[tag] = check
            self._transfers.start(check.request, tag)
        return len(checks)

    def _probe(self) -> None:
        if not self._in_flight:
            return
        for tag, response in self._transfers.perform(WAIT_SECONDS):
            result = judge_response(self._in_flight.pop(tag), response)
            self._finished.append(result)
            self._report["checked"] += 1
            self._report["failed"] += result.verdict.outcome is CheckOutcome.FAILED

    def _record(self) -> None:
        if not self._finished:
            return
        with self._unit_of_work() as work:
            record(work.session, work.now, work.events, self._finished, self._retry_schedule)
        if self._meter is not None:
            for outcome, results in groupby(sorted(self._finished, key=_outcome), _outcome):
                series = Series(CHECK_LATENCY, (("outcome", outcome),))
                self._meter.note(series, [one.latency_ms for one in results])
        self._finished.clear()


def _outcome(result: CheckResult) -> str:
    return result.verdict.outcome
