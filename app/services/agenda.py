"""The agenda: what falls due besides deliveries and checks. Rows say when; this looks."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from app.adapters.clock import Clock
from app.services.claims import cancel_expired
from app.services.disabling import disable_failing, tell_of_disabled, webhooks_to_tell_of
from app.services.follow_ups import alerts_with_follow_ups_due, follow_up
from app.services.groups import due_groups, flush_group, purge_groups
from app.services.redriving import advance, due_shares
from app.services.traffic import end_overdue_holds

LOOK_EVERY_SECONDS = 1.0
TIDY_EVERY_SECONDS = 60.0
BATCH = 100
# A step of a redrive may take a tenth of a second, and the rest must not wait for long.
SHARES_AT_ONCE = 25


class Agenda:
    """For one thread; any number of processes may have one. `run` does what is due."""

    is_busy = False

    def __init__(
        self,
        unit_of_work: Callable[[], Any],
        clock: Clock,
        retry_schedule: Sequence[int],
        queue_limit: int,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._retry_schedule = retry_schedule
        self._queue_limit = queue_limit
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
            report["expired"] = cancel_expired(work.session, BATCH)
            groups = due_groups(work.session, BATCH)
            alerts = alerts_with_follow_ups_due(work.session, BATCH)
            webhooks = webhooks_to_tell_of(work.session, BATCH)
            shares = due_shares(work.session, SHARES_AT_ONCE)
        for group_id in groups:
            if stopping():
                return dict(report)
            with self._unit_of_work() as work:
                report["groups"] += flush_group(work.session, work.now, work.events, group_id)
        for alert_id in alerts:
            if stopping():
                return dict(report)
            with self._unit_of_work() as work:
                report["follow_ups"] += follow_up(
                    work.session, work.now, work.events, alert_id, self._retry_schedule
                )
        for webhook_id in webhooks:
            if stopping():
                return dict(report)
            with self._unit_of_work() as work:
                report["disabled_told"] += tell_of_disabled(
                    work.session, work.now, work.events, webhook_id, self._retry_schedule
                )
        for share_id in shares:
            if stopping():
                return dict(report)
            with self._unit_of_work() as work:
                report["redriven"] += advance(
                    work.session, work.now, work.events, share_id, self._queue_limit
                )
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_EVERY_SECONDS
            with self._unit_of_work() as work:
                report["disabled"] = disable_failing(work.session)
                report["holds_ended"] = end_overdue_holds(work.session)
                purge_groups(work.session)
        return dict(report)

    def close(self) -> None:
        """There is nothing to give back."""
