"""The checker: probes the webhooks that are due, many at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.cipher import Cipher
from app.adapters.clock import Clock
from app.adapters.http import Guard
from app.domain.health import CheckOutcome
from app.services.health_checks import CheckResult, claim_due
from app.services.health_records import record
from app.services.prober import Prober

log = structlog.get_logger(__name__)

CAPACITY = 512
# A batch is recorded when so many have come, or after so long.
ENOUGH = 128
WAIT_SECONDS = 0.05
PASS_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.1


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
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._cipher = cipher
        self._prober = Prober(guard, CAPACITY)
        self._default_timeout = default_timeout_seconds
        self._retry_schedule = retry_schedule
        self._leased = 0  # given to the prober, and not yet taken from it
        self._finished: list[CheckResult] = []
        self._report: Counter[str] = Counter()

    @property
    def is_busy(self) -> bool:
        """Whether something is in flight: call `run` again at once."""
        return bool(self._leased or self._finished)

    def run(self, wants_look: Callable[[], bool], stopping: Callable[[], bool]) -> dict[str, int]:
        """Check until nothing is due or in flight, or for a few seconds.

        Returns how many were `checked`, and how many of them `failed`.
        """
        self._report.clear()
        look_at = 0.0
        until = self._clock.monotonic() + PASS_SECONDS
        with self._prober.at_work():
            while not stopping() and self._clock.monotonic() < until:
                claimed = 0
                if wants_look() or self._clock.monotonic() >= look_at:
                    claimed = self._claim()
                    look_at = self._clock.monotonic() + (0 if claimed else LOOK_EVERY_SECONDS)
                if self._leased:
                    self._prober.wait(ENOUGH, WAIT_SECONDS)
                self._take()
                self._record()
                if not (claimed or self.is_busy):
                    break
        return dict(self._report)

    def close(self) -> None:
        """Record what is known; the rest becomes due again when its lease ends."""
        try:
            self._take()
            self._record()
        except SQLAlchemyError as error:
            log.warning("checks not recorded", action="record_failed", error=str(error))
        finally:
            self._prober.close()

    def _claim(self) -> int:
        room = CAPACITY - self._leased
        if room <= 0:
            return 0
        with self._unit_of_work() as work:
            checks = claim_due(work.session, self._cipher, room, self._default_timeout)
        self._leased += len(checks)
        self._prober.give(checks)
        return len(checks)

    def _take(self) -> None:
        results = self._prober.take()
        if not results:
            return
        self._leased -= len(results)
        self._finished += results
        self._report["checked"] += len(results)
        self._report["failed"] += sum(one.verdict.outcome is CheckOutcome.FAILED for one in results)

    def _record(self) -> None:
        if not self._finished:
            return
        with self._unit_of_work() as work:
            record(work.session, work.now, work.events, self._finished, self._retry_schedule)
        self._finished.clear()
