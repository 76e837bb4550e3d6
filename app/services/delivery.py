"""The drain: takes what is due from the queue, sends it, and records what came of it.

    claim (short transaction) → send (no transaction) → decide (pure) → record (short, fenced)

The drain's thread owns the leases and talks to PostgreSQL; a sender's owns the transfers. It
claims again while some still wait for their answers, so a receiver that hangs holds nobody but
itself.
"""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.adapters.changes import ChangeFeed
from app.adapters.clock import Clock
from app.adapters.database import Database
from app.adapters.guard import Guard
from app.adapters.http import fetch
from app.adapters.http_messages import Response
from app.adapters.ownership import Ownership
from app.domain.alerts import EventType, message_body
from app.domain.live import Kind
from app.domain.retry import (
    Attempt,
    DeliveryStatus,
    Reason,
    cause_of,
    decide,
    lost_too_often,
)
from app.domain.samples import Series
from app.domain.traffic import probe_may_hold
from app.services.claims import (
    Claim,
    Completion,
    claim,
    give_back,
    record_delivered,
    record_undelivered,
    release,
    renew,
)
from app.services.lost_leases import LostLeases
from app.services.messages import Target, Targets, signed_request
from app.services.meter import DELIVERIES, DELIVERY_LATENCY, Meter
from app.services.sender import Job, Sender
from app.services.traffic import TrafficWatch
from app.services.webhooks import get_row

log = structlog.get_logger(__name__)

# Transfers in flight; and leases, so that there is more to be sent while PostgreSQL works.
CAPACITY = 512
LEASES = 1536
RENEW_EVERY_SECONDS = 3.0
SHOW_LIFE_EVERY_SECONDS = 1.0
# Unrecorded outcomes still count against their webhook's cap: record them soon.
FLUSH_EVERY_SECONDS = 0.05
FLUSH_AT_LEAST, FLUSH_AT = 50, 400
# With transfers in flight, look for new work this often; a hint looks at once.
LOOK_EVERY_SECONDS = 0.1
WAIT_SECONDS = 0.01
STOP_WITHIN_SECONDS = 6.0
PASS_SECONDS = 5.0
EXCERPT_CHARS = 1024
# By what came of it: a time-out says nothing of how fast a receiver answers.
_LATENCY = {
    is_success: Series(DELIVERY_LATENCY, (("outcome", outcome),))
    for is_success, outcome in ((True, "delivered"), (False, "failed"))
}


@dataclass(frozen=True, slots=True)
class Ping:
    """What came of a test message."""

    message_id: str
    http_status: int | None
    latency_ms: float
    error: str | None
    reason: Reason
    body_excerpt: str | None


def ping(database: Database, clock: Clock, guard: Guard, targets: Targets, webhook_id: int) -> Ping:
    """Send a signed `webhook.ping` now. No transaction is open while the receiver thinks."""
    with database.session() as session:
        row = get_row(session, webhook_id)
        target, name = targets.target_of(row), row.name
        now = database.now(session)
    clock.set(now)
    message_id = f"msg_{uuid.uuid4().hex}"
    body = message_body(EventType.PING, now, {"webhook_id": webhook_id, "name": name})
    response = fetch(guard, signed_request(target, message_id, body.encode(), now))
    return Ping(
        message_id,
        response.status,
        response.latency_ms,
        response.error,
        cause_of(response.status, response.failure),
        excerpt(response.body),
    )


def excerpt(body: bytes) -> str | None:
    """The start of an answer as text that PostgreSQL can hold; None for an empty one."""
    return body[:EXCERPT_CHARS].decode(errors="replace").replace("\x00", "\ufffd") or None


class _Lease(NamedTuple):
    """A claim of ours, and the job whose outcome will be its own. Where our lease ran out and
    nobody was quicker, that is the job of the claim before."""

    claim: Claim
    job: Job


class Drain:
    """For one thread. `run` until nothing is due; `close` gives everything back."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        guard: Guard,
        targets: Targets,
        capacity: int = CAPACITY,
        meter: Meter | None = None,
        changes: ChangeFeed | None = None,
    ) -> None:
        self._meter = meter
        self._changes = changes
        self._database = database
        self._clock = clock
        self._targets = targets
        self._most_leases = capacity * LEASES // CAPACITY
        self._sender = Sender(clock, guard, capacity)
        self._leases: dict[int, _Lease] = {}
        self._finished: list[Completion] = []
        self._traffic = TrafficWatch()
        self._cursor = 0
        self._ownership = Ownership(database)
        self._lost_leases = LostLeases(clock)
        self._look_at = self._flush_by = self._renew_at = self._show_life_at = 0.0
        self._report: Counter[str] = Counter()

    @property
    def is_busy(self) -> bool:
        """Whether something is in flight: call `run` again at once."""
        return bool(self._leases or self._finished)

    def run(self, wants_look: Callable[[], bool], stopping: Callable[[], bool]) -> dict[str, int]:
        """Deliver until nothing is due or in flight, or for a few seconds.

        Returns counts: `claimed`, and deliveries by their new status. `wants_look` is true once
        after each hint; `stopping` ends it early. Raises SQLAlchemyError while the database is
        away; call again, nothing is forgotten.
        """
        self._report.clear()
        self._look_at = 0.0
        until = self._clock.monotonic() + PASS_SECONDS
        with self._sender.at_work():
            while not stopping() and self._clock.monotonic() < until:
                # In this order. A flush makes room, so a look comes after it. And when the
                # database was away for long, we would claim what is ours: answered already, or
                # under way.
                self._hear_outcomes()
                self._show_life_when_due()
                self._flush_when_due()
                self._renew_when_due()
                claimed = self._claim_when_due(wants_look)
                if not (claimed or self.is_busy):
                    break
                self._sender.wait(self._enough() - len(self._finished), WAIT_SECONDS)
        return dict(self._report)

    def close(self) -> None:
        """Wait a little for what is in flight, then give the leases back."""
        give_up_at = self._clock.monotonic() + STOP_WITHIN_SECONDS
        try:
            self._give_back_unsent()
            with self._sender.at_work():
                while self._leases and self._clock.monotonic() < give_up_at:
                    self._renew_when_due()
                    self._sender.wait(len(self._leases), WAIT_SECONDS)
                    self._hear_outcomes()
            self._flush()
            if self._leases:
                with self._database.session() as session:
                    release(session, self._held())
        except SQLAlchemyError as error:
            # The leases run out by themselves.
            log.warning("leases not given back", action="release_failed", error=str(error))
        finally:
            self._sender.close()
            self._ownership.give_up()

    def _give_back_unsent(self) -> None:
        """What has not been sent costs no attempt: somebody else may send it at once."""
        unsent = [
            self._leases.pop(job.claim.id).claim
            for job in self._sender.take_unsent()
            if job.claim.id in self._leases
        ]
        if unsent:
            with self._database.session() as session:
                give_back(session, [(one.id, one.lease_token) for one in unsent])

    def _held(self) -> list[tuple[int, str]]:
        return [(one.claim.id, one.claim.lease_token) for one in self._leases.values()]

    def _claim_when_due(self, wants_look: Callable[[], bool]) -> bool:
        room = self._most_leases - len(self._leases) - len(self._finished)
        now = self._clock.monotonic()
        if room <= 0 or not (wants_look() or now >= self._look_at):
            return False
        self._flush()
        with self._database.session() as session:
            claims, moment = claim(session, room, self._cursor, self._ownership.number)
            targets = self._targets.load(
                session, {(one.webhook_id, one.webhook_version) for one in claims}
            )
        if moment is None:
            self._look_at = now + LOOK_EVERY_SECONDS
            return False
        self._clock.set(moment)
        self._report["claimed"] += len(claims)
        self._cursor = claims[-1].webhook_id
        jobs = []
        for one in claims:
            job = Job(one, targets[one.webhook_id])
            under_way = self._leases.pop(one.id, None)
            ended = _ended_unsent(one, job.target)
            if ended is not None:
                if under_way is not None:
                    self._sender.withdraw(under_way.job)
                self._finish(ended)
            elif under_way is not None:
                # Our own lease ran out (this process was stopped, say) and nobody was quicker:
                # the answer that we wait for is this attempt's.
                self._leases[one.id] = _Lease(one, under_way.job)
            else:
                self._leases[one.id] = _Lease(one, job)
                jobs.append(job)
        self._sender.give(jobs)
        return True

    def _hear_outcomes(self) -> None:
        outcomes = self._sender.take()
        if not outcomes:
            return
        now = self._clock.now()
        for job, response in outcomes:
            lease = self._leases.get(job.claim.id)
            # Otherwise it is not ours any more.
            if lease is not None and lease.job is job:
                del self._leases[job.claim.id]
                self._finish(_completion(lease.claim, job.target, response, now))

    def _enough(self) -> int:
        """Outcomes that are worth a flush: half of all that is out, so that the other half keeps
        the sender busy meanwhile. Large flushes are cheap ones."""
        out = len(self._leases) + len(self._finished)
        return min(max(out // 2, FLUSH_AT_LEAST), FLUSH_AT)

    def _finish(self, completion: Completion) -> None:
        if not self._finished:
            self._flush_by = self._clock.monotonic() + FLUSH_EVERY_SECONDS
        self._finished.append(completion)

    def _show_life_when_due(self) -> None:
        now = self._clock.monotonic()
        if now >= self._show_life_at:
            self._ownership.keep()
            self._show_life_at = now + SHOW_LIFE_EVERY_SECONDS
            # And see who shows none. Here, not in a lane that may be down or busy itself.
            with self._database.session() as session:
                freed = self._lost_leases.free(session)
            if freed:
                self._report["leases_freed"] += freed
                self._look_at = 0.0

    def _renew_when_due(self) -> None:
        now = self._clock.monotonic()
        if now < self._renew_at or not self.is_busy:
            return
        waiting = [(one.id, one.lease_token) for one in self._finished]
        with self._database.session() as session:
            held = renew(session, self._held() + waiting)
        self._renew_at = now + RENEW_EVERY_SECONDS
        for delivery_id in set(self._leases) - held:
            # Somebody else has it now, or it was cancelled: our answer would count for nothing.
            self._sender.withdraw(self._leases.pop(delivery_id).job)
            self._report["lease_lost"] += 1

    def _flush_when_due(self) -> None:
        if self._finished and (
            len(self._finished) >= self._enough()
            # With nothing out there is nothing to wait for.
            or not self._leases
            or self._clock.monotonic() >= self._flush_by
        ):
            self._flush()

    def _flush(self) -> None:
        if not self._finished:
            return
        delivered = [one for one in self._finished if one.status is DeliveryStatus.DELIVERED]
        self._record(record_delivered, delivered, _LATENCY[True])
        # Those are safe: were the database to go away now, only the others are to be said again.
        self._finished = [
            one for one in self._finished if one.status is not DeliveryStatus.DELIVERED
        ]
        self._record(record_undelivered, self._finished, _LATENCY[False])
        self._finished = []
        with self._database.session() as session:
            self._traffic.write_changes(session, self._clock.monotonic())
        # Their webhooks have room again, and what was held behind them is due.
        self._look_at = 0.0

    def _record(
        self,
        record: Callable[[Session, Sequence[Completion]], set[int]],
        completions: Sequence[Completion],
        latency: Series,
    ) -> None:
        if not completions:
            return
        with self._database.session() as session:
            done = record(session, completions)
        at = self._clock.monotonic()
        lost = len(completions) - len(done)
        if lost:
            self._report["lease_lost"] += lost
        for one in completions:
            if one.id in done:
                self._report[one.status] += 1
                if one.cause is not None:
                    self._traffic.hear(one.webhook_id, one.standing, one.cause, at)
        if self._changes is not None:
            self._changes.note(Kind.DELIVERY, sorted(done))
            disabled = {one.webhook_id for one in completions if one.disables_webhook}
            self._changes.note(Kind.WEBHOOK, sorted(disabled))
        if self._meter is not None:
            outcomes = Counter(one.status for one in completions if one.id in done)
            for status, times in outcomes.items():
                self._meter.count(Series(DELIVERIES, (("outcome", status.value),)), times)
            self._meter.note(
                latency, [one.latency_ms for one in completions if one.latency_ms is not None]
            )


def _completion(claimed: Claim, target: Target, response: Response, now: datetime) -> Completion:
    """What an answer means for its delivery."""
    attempt = Attempt(claimed.attempt, response.status, response.failure, response.retry_after)
    decision = decide(attempt, target.schedule, now, random.random())
    may_hold = probe_may_hold(claimed.attempt, len(target.schedule))
    return Completion(
        id=claimed.id,
        lease_token=claimed.lease_token,
        webhook_id=claimed.webhook_id,
        status=decision.status,
        reason=decision.reason,
        delay_seconds=decision.delay_seconds,
        cause=decision.cause,
        http_status=response.status,
        latency_ms=response.latency_ms,
        error=response.error,
        body_excerpt=_excerpt_worth_keeping(response),
        disables_webhook=decision.disables_webhook,
        standing=claimed.standing,
        probe_may_hold_seconds=sum(target.schedule) if may_hold else None,
    )


def _ended_unsent(claimed: Claim, target: Target) -> Completion | None:
    """The end of a claim that is not to be sent: it came too late, or killed its workers."""
    if claimed.is_expired:
        status, reason = DeliveryStatus.CANCELLED, Reason.EXPIRED
    elif lost_too_often(claimed.attempt, target.schedule):
        status, reason = DeliveryStatus.FAILED, Reason.ATTEMPTS_EXHAUSTED
    else:
        return None
    return Completion(
        id=claimed.id,
        lease_token=claimed.lease_token,
        webhook_id=claimed.webhook_id,
        status=status,
        reason=reason,
        delay_seconds=None,
        cause=None,
        http_status=None,
        latency_ms=None,
        error=None,
        body_excerpt=None,
    )


def _excerpt_worth_keeping(response: Response) -> str | None:
    """What a receiver says matters when it refuses; a success says all by its status."""
    accepted = response.failure is None and 200 <= (response.status or 0) < 300
    return None if accepted else excerpt(response.body)
