"""A database full of what a test wants, and short words for the services' own."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import text

from app.deps import Deps, Work
from app.domain.matchers import Matcher
from app.domain.retry import DeliveryStatus, Reason
from app.services import claims, lifecycle, raising, webhooks
from app.services.agenda import Agenda
from app.services.back_pressure import BackPressure
from app.services.claims import Claim, Completion
from app.services.raising import Draft
from models import InhibitionRule, RoutingRule, Silence
from tests.harness.waiting import eventually

Answer = TypeVar("Answer")

TOGETHER_WITHIN_SECONDS = 30.0
# Nobody listens there (RFC 863's port): for webhooks that are not meant to be reached.
NOWHERE = "http://127.0.0.1:9/"

WAITS_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
# As the API fills them in.
WEBHOOK: dict[str, Any] = {
    "name": "test",
    "url": NOWHERE,
    "description": None,
    "is_active": True,
    "health_check_interval_seconds": 300,
    "timeout_seconds": None,
    "retry_schedule_seconds": None,
    "headers": {},
    "max_in_flight": 500,
    "rate_limit_per_second": None,
}
CHECK: dict[str, Any] = {
    "method": "GET",
    "expected_status": None,
    "max_latency_ms": None,
    "failure_threshold": 3,
    "recovery_threshold": 2,
}


# What `later` moves.
_TIMES = {
    "alerts": ("expires_at", "snoozed_until"),
    "alert_delivery_queue": ("next_attempt_at", "rank_at", "expires_at"),
    "alert_follow_ups": ("due_at",),
    "alert_groups": ("flush_at", "flushed_at"),
    "silences": ("starts_at", "ends_at"),
}


def stored_matcher(matcher: Matcher) -> dict[str, str]:
    return {"name": matcher.name, "op": matcher.op, "value": matcher.value}


class World:
    """Real services on a real database. Every call here is a transaction of its own."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    # SQL, to look and to arrange.

    def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """The rows of a statement, each as a tuple."""
        with self.deps.reading() as session:
            result = session.connection().execute(text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []

    def one(self, statement: str, **parameters: Any) -> Any:
        """The only row; the value itself where it has one column."""
        (row,) = self.sql(statement, **parameters)
        return row[0] if len(row) == 1 else row

    # Webhooks and alerts.

    def webhook(self, check: dict[str, Any] | None = None, **fields: Any) -> int:
        data = WEBHOOK | {"health_check": CHECK | (check or {})} | fields
        with self.deps.unit_of_work() as work:
            view, _secret = webhooks.create_webhook(
                work.session, work.events, self.deps.cipher, data
            )
        return view.row.id

    def delete_webhook(self, webhook_id: int) -> None:
        with self.deps.unit_of_work() as work:
            webhooks.delete_webhook(work.session, work.now, work.events, webhook_id)

    def change_webhook(self, webhook_id: int, **changes: Any) -> None:
        with self.deps.unit_of_work() as work:
            webhooks.change_webhook(
                work.session, work.now, work.events, self.deps.cipher, webhook_id, changes
            )

    def raise_alerts(self, *drafts: Draft) -> list[tuple[int, bool]]:
        """The id of each alert, and whether it is new."""
        with self.deps.unit_of_work() as work:
            raised = raising.raise_alerts(
                work.session,
                work.now,
                work.events,
                drafts,
                "tester",
                self.deps.settings.retry_schedule_seconds,
            )
        return [(alert.id, is_new) for alert, is_new in raised]

    def alert(self, **fields: Any) -> int:
        ((alert_id, _is_new),) = self.raise_alerts(
            Draft(**({"title": "Disk almost full", "severity": "critical"} | fields))
        )
        return alert_id

    def owe(self, webhook_id: int, count: int = 1) -> list[int]:
        """So many deliveries for one webhook, all due; their ids, in the order of their alerts."""
        draft = Draft("Disk almost full", "critical", webhook_ids=[webhook_id])
        raised = self.raise_alerts(*[draft] * count)
        return [
            row[0]
            for row in self.sql(
                "SELECT q.id FROM pggit.deliveries q"
                " JOIN pggit.alert_events e ON e.id = q.event_id"
                " WHERE e.alert_id = ANY(:ids) ORDER BY e.alert_id",
                ids=[alert_id for alert_id, _ in raised],
            )
        ]

    def acknowledge(self, alert_id: int) -> bool:
        with self.deps.unit_of_work() as work:
            return lifecycle.acknowledge(work.session, work.now, work.events, alert_id, "tester")[1]

    def resolve(self, alert_id: int) -> bool:
        with self.deps.unit_of_work() as work:
            return lifecycle.resolve(work.session, work.now, work.events, alert_id, "tester")[1]

    def snooze(self, alert_id: int, minutes: float = 60) -> None:
        with self.deps.unit_of_work() as work:
            until = work.now + timedelta(minutes=minutes)
            lifecycle.snooze(work.session, work.now, work.events, alert_id, until, "tester")

    def unsnooze(self, alert_id: int) -> None:
        with self.deps.unit_of_work() as work:
            lifecycle.unsnooze(work.session, work.now, work.events, alert_id)

    # Routing, and what falls due.

    def rule(self, *webhook_ids: int, **fields: Any) -> int:
        """A routing rule that matches everything and tells at once, unless `fields` say else."""
        given = {"matchers": [], "group_wait_seconds": 0, "group_interval_seconds": 0} | fields
        return self._add(RoutingRule(name="test", webhook_ids=list(webhook_ids), **given))

    def silence(self, *matchers: Matcher, minutes: float = 60, **fields: Any) -> int:
        """One that is in force now."""
        now = datetime.now(UTC)
        given = {
            "starts_at": now - timedelta(minutes=1),
            "ends_at": now + timedelta(minutes=minutes),
        }
        stored = [stored_matcher(one) for one in matchers]
        return self._add(Silence(matchers=stored, created_by="tester", **(given | fields)))

    def inhibition(self, source: Matcher, target: Matcher, *equal: str) -> int:
        return self._add(
            InhibitionRule(
                name="test",
                source_matchers=[stored_matcher(source)],
                target_matchers=[stored_matcher(target)],
                equal=list(equal),
            )
        )

    def _add(self, row: Any) -> int:
        with self.deps.unit_of_work() as work:
            work.session.add(row)
            work.session.flush()
            return int(row.id)

    def agenda(self) -> dict[str, int]:
        """What is due with alerts is done; counts of it."""
        schedule = self.deps.settings.retry_schedule_seconds
        pressure = BackPressure(self.deps.clock, self.deps.settings.queue_limit)
        agenda = Agenda(self.deps.unit_of_work, self.deps.clock, pressure, schedule)
        return agenda.run(lambda: True, lambda: False)

    def later(self, minutes: float) -> None:
        """As if so much time had passed: PostgreSQL's clock decides, so the rows are moved."""
        for table, columns in _TIMES.items():
            moved = ", ".join(f"{one} = {one} - :by" for one in columns)
            statement = f"UPDATE pggit.{table} SET {moved}"  # noqa: S608 - our own names
            self.sql(statement, by=timedelta(minutes=minutes))

    # Deliveries.

    def delivery(self, delivery_id: int) -> Any:
        """Its row, with `is_due` and `seconds_left` worked out by PostgreSQL's clock."""
        with self.deps.reading() as session:
            return session.execute(
                text(
                    "SELECT *, (SELECT lease_token::text FROM pggit.alert_delivery_queue q"
                    " WHERE q.id = deliveries.id) AS lease_token,"
                    " COALESCE(next_attempt_at <= statement_timestamp(), false) AS is_due,"
                    " extract(epoch FROM next_attempt_at - statement_timestamp())::float8"
                    " AS seconds_left"
                    " FROM pggit.deliveries WHERE id = :id"
                ),
                {"id": delivery_id},
            ).one()

    def told(self, alert_id: int) -> list[tuple[str, int, str]]:
        """Event type, webhook and status of every delivery of an alert, in their order."""
        return self.sql(
            "SELECT e.type, q.webhook_id, q.status FROM pggit.deliveries q"
            " JOIN pggit.alert_events e ON e.id = q.event_id"
            " WHERE e.alert_id = :id ORDER BY q.id",
            id=alert_id,
        )

    def attempts(self, delivery_id: int) -> list[str]:
        """The reason of every attempt that was logged."""
        return [
            row[0]
            for row in self.sql(
                "SELECT reason FROM pggit.delivery_attempts WHERE delivery_id = :id ORDER BY id",
                id=delivery_id,
            )
        ]

    def claim(self, room: int = 1000, after_webhook: int = 0) -> list[Claim]:
        with self.deps.database.session() as session:
            return claims.claim(session, room, after_webhook)[0]

    def renew(self, *claimed: Claim) -> set[int]:
        with self.deps.database.session() as session:
            return claims.renew(session, leases(claimed))

    def complete(self, *completions: Completion) -> set[int]:
        """As the drain does: what is delivered in one transaction, the rest in another."""
        delivered = [one for one in completions if one.status is DeliveryStatus.DELIVERED]
        others = [one for one in completions if one.status is not DeliveryStatus.DELIVERED]
        with self.deps.database.session() as session:
            done = claims.record_delivered(session, delivered)
        with self.deps.database.session() as session:
            return done | claims.record_undelivered(session, others)

    def release(self, *claimed: Claim) -> None:
        with self.deps.database.session() as session:
            claims.release(session, leases(claimed))

    def expire(self, *delivery_ids: int) -> None:
        """End the leases of these, or their backoff: PostgreSQL's clock decides, so move it."""
        self.sql(
            "UPDATE pggit.alert_delivery_queue"
            " SET next_attempt_at = statement_timestamp() - interval '1 millisecond',"
            " rank_at = LEAST(rank_at, statement_timestamp() - interval '1 millisecond')"
            " WHERE id = ANY(:ids)",
            ids=list(delivery_ids),
        )


def leases(claimed: Iterable[Claim]) -> list[tuple[int, str]]:
    return [(one.id, one.lease_token) for one in claimed]


def delivered(claimed: Claim) -> Completion:
    return _completion(claimed, DeliveryStatus.DELIVERED, Reason.ACCEPTED, None, 204)


def failed(claimed: Claim) -> Completion:
    return _completion(claimed, DeliveryStatus.FAILED, Reason.REJECTED, None, 404)


def retrying(claimed: Claim, delay_seconds: float = 0.0) -> Completion:
    return _completion(claimed, DeliveryStatus.RETRYING, Reason.SERVER_ERROR, delay_seconds, 500)


def gone(claimed: Claim) -> Completion:
    return _completion(
        claimed, DeliveryStatus.FAILED, Reason.GONE, None, 410, disables_webhook=True
    )


def _completion(
    claimed: Claim,
    status: DeliveryStatus,
    reason: Reason,
    delay_seconds: float | None,
    http_status: int,
    *,
    disables_webhook: bool = False,
) -> Completion:
    return Completion(
        id=claimed.id,
        lease_token=claimed.lease_token,
        webhook_id=claimed.webhook_id,
        status=status,
        reason=reason,
        delay_seconds=delay_seconds,
        cause=reason,
        http_status=http_status,
        latency_ms=1.5,
        error=None,
        body_excerpt=None,
        disables_webhook=disables_webhook,
    )


def at_once(*calls: Callable[[], Answer]) -> list[Answer]:
    """The answers of calls that start together, each on a thread; raises what one raised."""
    outcomes = outcomes_at_once(*calls)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def outcomes_at_once(*calls: Callable[[], Answer]) -> Sequence[Answer | BaseException]:
    """The same, with exceptions as answers."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Answer]) -> Answer | BaseException:
        start.wait(TOGETHER_WITHIN_SECONDS)
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
        return [future.result(TOGETHER_WITHIN_SECONDS) for future in futures]


def overlapping(
    world: World, first: Callable[[Work], object], second: Callable[[], Answer]
) -> Answer:
    """Begin `second` while `first` is done and not committed: what it answers, once both are over.

    The first commits when the second waits for it, or has gone on without waiting.
    """
    with ThreadPoolExecutor(1) as pool:
        with world.deps.unit_of_work() as work:
            first(work)
            work.session.flush()
            answer = pool.submit(second)
            eventually(
                lambda: answer.done() or world.one(WAITS_FOR_A_LOCK), what="the second to wait"
            )
        return answer.result(30)
