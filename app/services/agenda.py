"""The agenda: what falls due with alerts besides their deliveries. Rows say when; this looks."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError

from app.adapters.clock import Clock
from app.services.back_pressure import BackPressure
from app.services.claims import cancel_expired
from app.services.follow_ups import alerts_with_follow_ups_due, follow_up
from app.services.groups import due_groups, flush_group, purge_groups
from app.services.lifecycle import due_to_expire, expire
from app.services.traffic import end_overdue_holds

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 1.0
TIDY_EVERY_SECONDS = 60.0
BATCH = 100


class Agenda:
    """For one thread; any number of processes may have one. `run` does what is due."""

    is_busy = False

    def __init__(
        self,
        unit_of_work: Callable[[], Any],
        clock: Clock,
        back_pressure: BackPressure,
        retry_schedule: Sequence[int],
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._back_pressure = back_pressure
        self._retry_schedule = retry_schedule
        self._look_at = self._tidy_at = float("-inf")

    def run(self, wants_look: Callable[[], bool], stopping: Callable[[], bool]) -> dict[str, int]:
        """Returns counts of what was done. Each alert and each group has a transaction of its own.

        Raises SQLAlchemyError while the database is away; the rows wait.
        """
        report: Counter[str] = Counter()
        now = self._clock.monotonic()
        if not (wants_look() or now >= self._look_at):
            return {}
        self._look_at = now + LOOK_EVERY_SECONDS
        with self._unit_of_work() as work:
            report["deliveries_expired"] = cancel_expired(work.session, BATCH)
            report["back_pressure_changed"] = self._back_pressure.note_change(work.session)
        with self._unit_of_work() as work:
            # What is over ends first: of it nobody is reminded.
            due: list[tuple[str, int]] = [
                *(("alerts_expired", one) for one in due_to_expire(work.session, BATCH)),
                *(("groups", one) for one in due_groups(work.session, BATCH)),
                *(("follow_ups", one) for one in alerts_with_follow_ups_due(work.session, BATCH)),
            ]
        for what, one in due:
            if stopping():
                return dict(report)
            try:
                with self._unit_of_work() as work:
                    report[what] += self._do(work, what, one)
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                # One that can't be done must not keep those behind it from being done.
                log.exception("not done", action="agenda_failed", what=what, id=one)
                report["failed"] += 1
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY_SECONDS
            with self._unit_of_work() as work:
                report["holds_ended"] = end_overdue_holds(work.session)
                purge_groups(work.session)
        return dict(report)

    def _do(self, work: Any, what: str, one: int) -> int:
        match what:
            case "alerts_expired":
                return expire(work.session, work.now, work.events, one)
            case "groups":
                return flush_group(work.session, work.now, work.events, one)
            case _:
                return follow_up(work.session, work.now, work.events, one, self._retry_schedule)

    def close(self) -> None:
        """There is nothing to give back."""
