"""The agenda: what falls due besides deliveries and checks. Rows say when; this looks."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from app.adapters.clock import Clock
from app.services.back_pressure import BackPressure
from app.services.claims import cancel_expired
from app.services.disabling import disable_failing, tell_of_disabled, webhooks_to_tell_of
from app.services.follow_ups import alerts_with_follow_ups_due, follow_up
from app.services.groups import due_groups, flush_group, purge_groups
from app.services.lifecycle import due_to_expire, expire
from app.services.redriving import advance, due_shares
from app.services.traffic import end_overdue_holds

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 1.0
TIDY_EVERY_SECONDS = 60.0
BATCH = 100
# Of a redrive, each share is a batch of its own.
SHARES_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Chore:
    """One kind of thing that falls due: its name in the report, whose turn it is (ids, the longest
    due first), and what to do with one, in a transaction of its own.
    """

    name: str
    due: Callable[[Session], Sequence[int]]
    do: Callable[[Any, int], int]


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
        self._look_at = self._tidy_at = float("-inf")
        limit = back_pressure.limit
        # What is over ends first: of it nobody is reminded.
        self._chores = (
            Chore(
                "alerts_expired",
                lambda session: due_to_expire(session, BATCH),
                lambda work, one: expire(work.session, work.now, work.events, one),
            ),
            Chore(
                "groups",
                lambda session: due_groups(session, BATCH),
                lambda work, one: flush_group(work.session, work.now, work.events, one),
            ),
            Chore(
                "follow_ups",
                lambda session: alerts_with_follow_ups_due(session, BATCH),
                lambda work, one: follow_up(
                    work.session, work.now, work.events, one, retry_schedule
                ),
            ),
            Chore(
                "disabled_told",
                lambda session: webhooks_to_tell_of(session, BATCH),
                lambda work, one: tell_of_disabled(
                    work.session, work.now, work.events, one, retry_schedule
                ),
            ),
            Chore(
                "redriven",
                lambda session: due_shares(session, SHARES_AT_ONCE),
                lambda work, one: advance(work.session, work.now, work.events, one, limit),
            ),
        )

    def run(self, wants_look: Callable[[], bool], stopping: Callable[[], bool]) -> dict[str, int]:
        """Returns counts of what was done.

        Raises OperationalError or InterfaceError while the database is away; the rows wait.
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
            due = [(chore, one) for chore in self._chores for one in chore.due(work.session)]
        for chore, one in due:
            if stopping():
                return dict(report)
            self._do(chore, one, report)
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY_SECONDS
            with self._unit_of_work() as work:
                report["disabled"] = disable_failing(work.session, work.events)
                report["holds_ended"] = end_overdue_holds(work.session)
                purge_groups(work.session)
        return dict(report)

    def _do(self, chore: Chore, one: int, report: Counter[str]) -> None:
        try:
            with self._unit_of_work() as work:
                report[chore.name] += chore.do(work, one)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            # One that can't be done must not keep those behind it from being done.
            log.exception("not done", action="agenda_failed", chore=chore.name, id=one)
            report["failed"] += 1

    def close(self) -> None:
        """There is nothing to give back."""
