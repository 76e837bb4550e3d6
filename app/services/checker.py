"""The checker: probes the webhooks that are due, many at once."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.cipher import Cipher
from app.adapters.clock import Clock
from app.adapters.guard import Guard
from app.domain.health import CheckOutcome
from app.domain.samples import Series
from app.services.check_plans import Plans
from app.services.health_checks import Check, CheckResult, claim_due
from app.services.health_records import record
from app.services.meter import CHECK_LATENCY, Meter
from app.services.prober import Prober

log = structlog.get_logger(__name__)

CAPACITY = 512
# A batch is recorded when so many have come, or after so long.
ENOUGH = 256
WAIT_SECONDS = 0.1
PASS_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.1
# After the last check it goes on looking for so long: where there was one, the next is near.
LINGER_SECONDS = 0.5


class Checker:
    """For one thread. `run` checks until nothing is due; it uses what `Deps` holds."""

    def __init__(
        self,
        unit_of_work: Callable[[], Any],
        clock: Clock,
        cipher: Cipher,
        guard: Guard,
        default_timeout_seconds: int,
        retry_schedule: Sequence[int],
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._plans = Plans(cipher, default_timeout_seconds)
        self._prober = Prober(guard, CAPACITY)
        self._retry_schedule = retry_schedule
        self._leased = 0  # given to the prober, and not yet taken from it
        self._finished: list[CheckResult] = []
        self._report: Counter[str] = Counter()
        self._worked_at = float("-inf")

    @property
    def is_busy(self) -> bool:
        """Whether something is in flight, or was just now: call `run` again at once."""
        return self._has_work or self._lingers

    def run(self, wants_look: Callable[[], bool], stopping: Callable[[], bool]) -> dict[str, int]:
        """Check until nothing is due or in flight, or for a few seconds.

        Returns how many were `checked`, and how many of them `failed`.
        """
        self._report.clear()
        began_at = self._clock.monotonic()
        look_at = began_at
        with self._prober.at_work():
            while not stopping() and (now := self._clock.monotonic()) < began_at + PASS_SECONDS:
                self._take()
                # In this order: a hint that nobody takes would have the lane begin again at once.
                looks = wants_look() or now >= look_at
                claimed = self._exchange(CAPACITY - self._leased if looks else 0)
                if looks:
                    look_at = now + (0 if claimed else LOOK_EVERY_SECONDS)
                if claimed or self._has_work:
                    self._worked_at = now
                    self._prober.wait(ENOUGH, WAIT_SECONDS)
                elif self._lingers:
                    time.sleep(WAIT_SECONDS)  # the lane's wait is longer than a look may be late
                else:
                    break
            self._take()
            self._exchange(0)
        return dict(self._report)

    @property
    def _has_work(self) -> bool:
        return bool(self._leased or self._finished)

    @property
    def _lingers(self) -> bool:
        return self._clock.monotonic() < self._worked_at + LINGER_SECONDS

    def close(self) -> None:
        """Record what is known; the rest becomes due again when its lease ends."""
        try:
            self._take()
            self._exchange(0)
        except SQLAlchemyError as error:
            log.warning("checks not recorded", action="record_failed", error=str(error))
        finally:
            self._prober.close()

    def _take(self) -> None:
        results = self._prober.take()
        if not results:
            return
        self._leased -= len(results)
        self._finished += results
        self._report["checked"] += len(results)
        self._report["failed"] += sum(one.verdict.outcome is CheckOutcome.FAILED for one in results)

    def _exchange(self, room: int) -> int:
        """In one transaction, record what has finished, and claim as many checks as there is room
        for; how many those are.

        In this order: to claim is to pass over what others hold, so nobody waits for anybody while
        these are held.
        """
        checks: list[Check] = []
        if not self._finished and room <= 0:
            return 0
        with self._unit_of_work() as work:
            if self._finished:
                record(work.session, work.now, work.events, self._finished, self._retry_schedule)
            if room > 0:
                checks = claim_due(work.session, self._plans, room)
        self._note()
        self._finished.clear()
        self._leased += len(checks)
        self._prober.give(checks)
        return len(checks)

    def _note(self) -> None:
        if self._meter is None:
            return
        for outcome, results in groupby(sorted(self._finished, key=_outcome), _outcome):
            series = Series(CHECK_LATENCY, (("outcome", outcome),))
            self._meter.note(series, [one.latency_ms for one in results])


def _outcome(result: CheckResult) -> str:
    return result.verdict.outcome
