"""The delivery queue's statements: claim, renew, record, release.

Who claims gets a lease with a fresh token; whatever he does with the row later says `WHERE id
AND lease_token`, so that one who was paused past his lease changes nothing. All times are
PostgreSQL's.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.adapters.database import pipeline
from app.domain.retry import DeliveryStatus, Reason
from app.domain.traffic import DisabledReason, Standing

LEASE_SECONDS = 10.0
# Claims go one after another: with the lock taken in a statement of its own, the next one's
# snapshot sees what this one leased, so that the caps on what is in flight hold.
CLAIM_LOCK = 0x70C52
# The owner of leases that only run out.
NOBODY = 0


class Claim(NamedTuple):
    """A leased delivery. `attempt` counts from 1; `webhook_version` changes with the webhook."""

    id: int
    lease_token: str
    webhook_id: int
    webhook_version: datetime
    message_id: str
    attempt: int
    body: bytes
    standing: Standing
    is_expired: bool


class Completion(NamedTuple):
    """What came of a claim. `cause` None means that nothing was sent, so nothing is logged."""

    id: int
    lease_token: str
    webhook_id: int
    status: DeliveryStatus
    reason: Reason
    delay_seconds: float | None
    cause: Reason | None
    http_status: int | None
    latency_ms: float | None
    error: str | None
    body_excerpt: str | None
    disables_webhook: bool = False
    standing: Standing = Standing.NORMAL
    # For how long after its creation a red probe may hold the next attempt; None: it may not.
    probe_may_hold_seconds: float | None = None


_STANDINGS = tuple(Standing(number) for number in range(max(Standing) * 2))
# The two statements of every batch are sent by the driver itself, in one round trip: for 200 rows
# SQLAlchemy's part alone would take a third of the time that PostgreSQL needs.
#
# Asked for in order, so that the planner takes the index of what is open. Asked whether one
# EXISTS it expects to meet one soon, and reads through all finished rows to find it.
_ANYTHING_DUE = """
    (SELECT next_attempt_at FROM pggit.alert_delivery_queue
        WHERE status IN ('pending', 'retrying')
        ORDER BY next_attempt_at LIMIT 1) <= statement_timestamp()
    AND NOT EXISTS (SELECT FROM pggit_traffic.delivery_pause)
"""
_LOCK = b"SELECT pg_advisory_xact_lock(%s)"
# Of one kind of rows, the ones due; the two kinds have an index each (see the model).
_DUE = """
    SELECT q.id, q.rank_at, q.lease_token IS NOT NULL AS is_lost,
        COALESCE(q.expires_at <= statement_timestamp(), false) AS is_expired
    FROM pggit.alert_delivery_queue q
    WHERE q.webhook_id = turn.id AND q.status IN ('pending', 'retrying') AND {kind}
        AND q.rank_at <= statement_timestamp() AND q.next_attempt_at <= statement_timestamp()
    ORDER BY q.rank_at
    LIMIT GREATEST(turn.room, 0)
    FOR UPDATE SKIP LOCKED
"""
# A rate is a token bucket that holds what one second allows, and at least one.
_BUCKET = """
    LEAST(GREATEST({rate}, 1), t.tokens + {rate}
        * extract(epoch FROM statement_timestamp() - t.refilled_at))
"""
_CLAIM = f"""
    WITH busy AS MATERIALIZED (
        SELECT webhook_id, count(*) AS n FROM pggit.alert_delivery_queue
        WHERE lease_token IS NOT NULL AND next_attempt_at > statement_timestamp()
        GROUP BY webhook_id
    ), turn AS MATERIALIZED (
        SELECT w.id, w.updated_at, rate.per_second,
            COALESCE(h.health_status = 'unavailable'
                AND COALESCE(t.delivered_at < h.changed_at, true), false) AS probe_holds,
            (t.gate = 'closed')::int * {int(Standing.TRIAL)}
                + COALESCE((h.health_status = 'unavailable')::int, 0) * {int(Standing.UNAVAILABLE)}
                + (t.failing_since IS NOT NULL)::int * {int(Standing.FAILING)}
                + (t.pace_per_second IS NOT NULL)::int * {int(Standing.PACED)} AS standing,
            CASE
                -- Closed, it lets one through when its rest is over: the trial.
                WHEN t.gate = 'closed'
                    THEN (busy.n IS NULL AND t.reopens_at <= statement_timestamp())::int
                -- GREATEST leaves nulls out: without this, no limit would be a limit of one.
                WHEN rate.per_second IS NULL THEN w.max_in_flight - COALESCE(busy.n, 0)
                ELSE LEAST(
                    w.max_in_flight - COALESCE(busy.n, 0),
                    floor({_BUCKET.format(rate="rate.per_second")})
                )
            END::int AS room
        FROM pggit.webhooks w
        JOIN pggit_traffic.webhook_traffic t ON t.webhook_id = w.id
        LEFT JOIN pggit.webhook_health_metrics h ON h.webhook_id = w.id
        LEFT JOIN busy ON busy.webhook_id = w.id
        CROSS JOIN LATERAL (
            SELECT LEAST(w.rate_limit_per_second, t.pace_per_second) AS per_second
        ) rate
        -- The first is asked once, and without it nothing else is looked at.
        WHERE ({_ANYTHING_DUE})
            AND w.is_active AND w.deleted_at IS NULL AND w.max_in_flight > COALESCE(busy.n, 0)
        ORDER BY w.id <= %(after_webhook)s, w.id
    ), picked AS MATERIALIZED (
        SELECT due.id, due.is_lost, due.is_expired, turn.id AS webhook_id, turn.updated_at,
            turn.standing, turn.per_second
        FROM turn CROSS JOIN LATERAL (
            SELECT * FROM (
                SELECT * FROM ({_DUE.format(kind="q.probe_holds_until IS NULL")}) free
                UNION ALL
                SELECT * FROM (
                    {_DUE.format(kind="q.probe_holds_until IS NOT NULL AND NOT turn.probe_holds")}
                ) may_be_held
            ) either
            ORDER BY rank_at LIMIT GREATEST(turn.room, 0)
        ) due
        LIMIT %(room)s
    ), lost AS (
        INSERT INTO pggit.delivery_attempts (delivery_id, reason, error)
        SELECT id, %(worker_lost)s, 'the worker was lost before it could say what came of it'
        FROM picked WHERE is_lost
    ), spent AS (
        UPDATE pggit_traffic.webhook_traffic t
        SET tokens = {_BUCKET.format(rate="p.per_second")} - p.n,
            refilled_at = statement_timestamp()
        FROM (
            SELECT webhook_id, per_second, count(*) AS n FROM picked
            WHERE per_second IS NOT NULL GROUP BY webhook_id, per_second
        ) p
        WHERE t.webhook_id = p.webhook_id
    )
    UPDATE /* unseen */ pggit.alert_delivery_queue q
    -- Who has it, this claim's chance, and the row's id. PostgreSQL's own way to draw one may open
    -- a file each time.
    SET lease_token = CAST(%(claim)s || lpad(to_hex(q.id), 16, '0') AS uuid),
        -- What is too late is claimed to be ended, not to be sent.
        attempts_made = q.attempts_made + CASE WHEN picked.is_expired THEN 0 ELSE 1 END,
        next_attempt_at = statement_timestamp() + make_interval(secs => %(lease)s)
    FROM picked JOIN pggit.alert_events e ON true
    WHERE q.id = picked.id AND e.id = q.event_id
    RETURNING q.id, q.lease_token::text, q.webhook_id, picked.updated_at, q.webhook_message_id,
        q.attempts_made, e.body, picked.standing, picked.is_expired
""".encode()  # noqa: S608 - only constants in it
# Rows that several are after (who renews or completes, and who acknowledges the alert) are locked
# by their ids, or two would wait for each other. Of the ways to join a list with the table only
# the nested loop keeps the list's order; to lock them by a statement of its own costs as much
# again as half of the completion.
_IN_THIS_ORDER = (
    "SELECT set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true)"
)
_RENEW = text(
    """
    UPDATE /* unseen */ pggit.alert_delivery_queue q
    SET next_attempt_at = statement_timestamp() + make_interval(secs => :lease)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:tokens AS uuid[])) AS mine (id, token)
    WHERE q.id = mine.id AND q.lease_token = mine.token
    RETURNING q.id
    """
)
# What is delivered leaves the queue: the claim's table stays as small as what is owed.
_RECORD_DELIVERED = b"""
    WITH said AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(%(ids)s AS bigint[]), CAST(%(tokens)s AS uuid[]),
            CAST(%(http_statuses)s AS int[]), CAST(%(latencies)s AS float8[])
        ) AS s (id, token, http_status, latency)
    ), done AS (
        DELETE FROM pggit.alert_delivery_queue q USING said
        WHERE q.id = said.id AND q.lease_token = said.token
        RETURNING q.id, q.event_id, q.webhook_id, q.webhook_message_id, q.attempts_made,
            q.redrive_id, q.created_at, said.http_status, said.latency
    ), moved AS (
        INSERT INTO pggit.alert_delivery_history (id, event_id, webhook_id, webhook_message_id,
            status, reason, attempts_made, redrive_id, created_at, finished_at)
        SELECT id, event_id, webhook_id, webhook_message_id, %(status)s, %(reason)s,
            attempts_made, redrive_id, created_at, statement_timestamp()
        FROM done
    ), logged AS (
        INSERT INTO pggit.delivery_attempts (delivery_id, reason, http_status, latency_ms, at)
        SELECT id, %(reason)s, http_status, latency,
            statement_timestamp() - make_interval(secs => latency / 1000)
        FROM done
    )
    SELECT id FROM done
"""
_RECORD_UNDELIVERED = text(
    """
    WITH said AS MATERIALIZED (
        SELECT * FROM unnest(
            CAST(:ids AS bigint[]), CAST(:tokens AS uuid[]), CAST(:statuses AS text[]),
            CAST(:reasons AS text[]), CAST(:delays AS float8[]), CAST(:may_hold AS float8[]),
            CAST(:causes AS text[]), CAST(:http_statuses AS int[]), CAST(:latencies AS float8[]),
            CAST(:errors AS text[]), CAST(:excerpts AS text[])
        ) AS s (id, token, status, reason, delay, may_hold, cause, http_status, latency, error,
            excerpt)
    ), done AS (
        UPDATE pggit.alert_delivery_queue q
        SET status = said.status, reason = said.reason, lease_token = NULL,
            next_attempt_at = due.at,
            rank_at = due.at - make_interval(secs => q.head_start_seconds),
            probe_holds_until = CASE
                WHEN q.created_at + make_interval(secs => said.may_hold) > due.at
                THEN q.created_at + make_interval(secs => said.may_hold) END,
            finished_at = CASE WHEN said.delay IS NULL THEN statement_timestamp() END
        FROM said CROSS JOIN LATERAL (
            SELECT statement_timestamp() + make_interval(secs => COALESCE(said.delay, 0)) AS at
        ) due
        WHERE q.id = said.id AND q.lease_token = said.token
        RETURNING q.id, said.cause, said.http_status, said.latency, said.error, said.excerpt
    ), logged AS (
        INSERT INTO pggit.delivery_attempts
            (delivery_id, reason, http_status, latency_ms, error, body_excerpt, at)
        SELECT id, cause, http_status, latency, error, excerpt,
            statement_timestamp() - make_interval(secs => COALESCE(latency, 0) / 1000)
        FROM done WHERE cause IS NOT NULL
    )
    SELECT id FROM done
    """
)
_LET_GO = (
    "UPDATE pggit.alert_delivery_queue"
    " SET held_behind = NULL, reason = NULL, next_attempt_at = statement_timestamp(),"
    " rank_at = statement_timestamp() - make_interval(secs => head_start_seconds)"
)
_RELEASE_HELD = text(f"{_LET_GO} WHERE held_behind = ANY(:ids)")
# What was said to be delivered and has not left the queue is somebody else's by now.
_RELEASE_HELD_BY_DELIVERED = (
    f"{_LET_GO} WHERE held_behind = ANY(CAST(%s AS bigint[])) AND NOT EXISTS"
    " (SELECT FROM pggit.alert_delivery_queue first"
    " WHERE first.id = alert_delivery_queue.held_behind)"
).encode()
# Who never got the firing is not told of its end; nor does anything wait for what is cancelled.
_CANCEL_NEVER_TOLD = text(
    """
    WITH RECURSIVE behind AS (
        SELECT q.id FROM pggit.alert_delivery_queue q
        JOIN pggit.alert_delivery_queue first ON first.id = q.held_behind
        JOIN pggit.alert_events e ON e.id = first.event_id
        WHERE q.held_behind = ANY(:ids) AND e.type = 'alert.firing' AND NOT EXISTS (
            -- Where that was a reminder, the webhook may have got the firing before: by itself, or
            -- with others of its group.
            SELECT FROM pggit.alert_events told
            JOIN pggit.alert_delivery_history h ON h.event_id = told.id
            WHERE told.type = 'alert.firing' AND h.webhook_id = q.webhook_id AND (
                told.alert_id = e.alert_id OR told.id IN (
                    SELECT before.event_id FROM pggit.alert_group_news this
                    JOIN pggit.alert_group_news before
                        ON before.group_id = this.group_id AND before.alert_id = this.alert_id
                    WHERE this.event_id = e.id
                )
            )
        )
        UNION
        SELECT q.id FROM behind JOIN pggit.alert_delivery_queue q ON q.held_behind = behind.id
    )
    UPDATE pggit.alert_delivery_queue q
    SET status = 'cancelled', reason = :reason, held_behind = NULL,
        finished_at = statement_timestamp()
    FROM behind WHERE q.id = behind.id
    """
)
_CANCEL_EXPIRED = text(
    """
    WITH late AS MATERIALIZED (
        SELECT id FROM pggit.alert_delivery_queue
        WHERE status IN ('pending', 'retrying') AND expires_at <= now()
            -- What is held is looked at when it is let go, lest what waits behind it overtakes.
            AND lease_token IS NULL AND held_behind IS NULL
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE pggit.alert_delivery_queue q
    SET status = 'cancelled', reason = :reason, finished_at = now()
    FROM late WHERE q.id = late.id
    RETURNING q.id
    """
)
# The order of locks is the webhook first, then its deliveries: as a deletion takes them.
_LOCK_WEBHOOKS = text(
    "SELECT FROM pggit.webhooks WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"
)
_DISABLE = text(
    # The alert that tells of it is raised by whoever next looks for those without one.
    "UPDATE pggit.webhooks SET is_active = false, disabled_reason = :reason,"
    " disabled_alert_id = NULL, updated_at = now() WHERE id = ANY(:ids) AND is_active"
)
_RELEASE = text(
    """
    WITH mine AS (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:tokens AS uuid[])) AS m (id, token)
    ), freed AS (
        UPDATE pggit.alert_delivery_queue q
        SET lease_token = NULL, next_attempt_at = statement_timestamp(), reason = :reason,
            status = 'retrying'
        FROM mine WHERE q.id = mine.id AND q.lease_token = mine.token
        RETURNING q.id
    )
    INSERT INTO pggit.delivery_attempts (delivery_id, reason, error)
    SELECT id, :reason, 'the worker was stopped while it waited for the answer' FROM freed
    """
)
_GIVE_BACK = text(
    """
    UPDATE pggit.alert_delivery_queue q
    SET lease_token = NULL, next_attempt_at = statement_timestamp(),
        attempts_made = attempts_made - 1
    FROM unnest(CAST(:ids AS bigint[]), CAST(:tokens AS uuid[])) AS mine (id, token)
    WHERE q.id = mine.id AND q.lease_token = mine.token
    """
)


def claim(
    session: Session, room: int, after_webhook: int, owner: int = NOBODY
) -> tuple[list[Claim], datetime | None]:
    """Lease at most `room` due deliveries, and PostgreSQL's time when there are any.

    Webhooks take turns, beginning after `after_webhook`, each within its cap on what is in
    flight and its rate; the claims come in the order of these turns. Expired leases are due like
    anything else. The attempt is counted here. An `owner` whose lock is gone loses his leases.
    """
    with pipeline(session) as driver:
        asked = driver.execute(b"SELECT statement_timestamp()")
        driver.execute(_LOCK, [CLAIM_LOCK])
        claimed = driver.execute(
            _CLAIM,
            {
                "room": room,
                "after_webhook": after_webhook,
                "lease": LEASE_SECONDS,
                "claim": f"{owner:08x}{secrets.token_hex(4)}",
                "worker_lost": Reason.WORKER_LOST.value,
            },
        )
    claims = [
        Claim(
            id=row[0],
            lease_token=row[1],
            webhook_id=row[2],
            webhook_version=row[3],
            message_id=row[4],
            attempt=row[5],
            body=row[6].encode(),
            standing=_STANDINGS[row[7]],
            is_expired=row[8],
        )
        for row in claimed.fetchall()
    ]
    if not claims:
        return [], None
    # RETURNING has no order of its own, and the next turn begins after the last of this one.
    claims.sort(key=lambda one: (one.webhook_id <= after_webhook, one.webhook_id, one.id))
    ((now,),) = asked.fetchall()
    return claims, now


def renew(session: Session, leases: Sequence[tuple[int, str]]) -> set[int]:
    """Renew leases (id and token); the ids of those that are still held."""
    session.execute(text(_IN_THIS_ORDER))
    return set(session.scalars(_RENEW, _pairs(leases) | {"lease": LEASE_SECONDS}))


def record_delivered(session: Session, completions: Sequence[Completion]) -> set[int]:
    """Move what was delivered to the history, and let go what was held behind it.

    The ids that were recorded: a lease that was lost meanwhile changes nothing and is not one.
    In a transaction of its own: together with `record_undelivered` the rows would not be locked
    in the order of their ids.
    """
    said = _in_order(completions)
    ids = _array([one.id for one in said])
    with pipeline(session) as driver:
        driver.execute(_IN_THIS_ORDER)
        done = driver.execute(
            _RECORD_DELIVERED,
            {
                "ids": ids,
                "tokens": _array([one.lease_token for one in said]),
                "http_statuses": _array([one.http_status for one in said]),
                "latencies": _array([one.latency_ms for one in said]),
                "status": DeliveryStatus.DELIVERED.value,
                "reason": Reason.ACCEPTED.value,
            },
        )
        driver.execute(_RELEASE_HELD_BY_DELIVERED, [ids])
    return {delivery_id for (delivery_id,) in done.fetchall()}


def record_undelivered(session: Session, completions: Sequence[Completion]) -> set[int]:
    """Record what was not delivered: to be tried again, failed or cancelled.

    Where it is over, what was held behind it goes on, or ends with it. The ids that were
    recorded, as above.
    """
    gone = [one.webhook_id for one in completions if one.disables_webhook]
    if gone:
        session.execute(_LOCK_WEBHOOKS, {"ids": gone})
    said = _in_order(completions)
    session.execute(text(_IN_THIS_ORDER))
    done = set(
        session.scalars(
            _RECORD_UNDELIVERED,
            {
                "ids": [one.id for one in said],
                "tokens": [one.lease_token for one in said],
                "statuses": [one.status for one in said],
                "reasons": [one.reason for one in said],
                "delays": [one.delay_seconds for one in said],
                "may_hold": [one.probe_may_hold_seconds for one in said],
                "causes": [one.cause for one in said],
                "http_statuses": [one.http_status for one in said],
                "latencies": [one.latency_ms for one in said],
                "errors": [one.error for one in said],
                "excerpts": [one.body_excerpt for one in said],
            },
        )
    )
    end_unsuccessfully(
        session,
        [one.id for one in completions if one.id in done and one.delay_seconds is None],
    )
    gone = [one.webhook_id for one in completions if one.disables_webhook and one.id in done]
    if gone:
        session.execute(_DISABLE, {"ids": gone, "reason": DisabledReason.GONE})
    return done


def cancel_expired(session: Session, limit: int) -> int:
    """Cancel what waits and is too late to be sent, wherever it waits: how many."""
    late = session.scalars(_CANCEL_EXPIRED, {"limit": limit, "reason": Reason.EXPIRED}).all()
    end_unsuccessfully(session, late)
    return len(late)


def end_unsuccessfully(session: Session, ids: Sequence[int]) -> None:
    """After deliveries ended: what is held behind these is let go, or ends with them."""
    if ids:
        session.execute(_CANCEL_NEVER_TOLD, {"ids": sorted(ids), "reason": Reason.NEVER_TOLD})
        session.execute(_RELEASE_HELD, {"ids": sorted(ids)})


def _array(values: Iterable[object]) -> str:
    """As PostgreSQL reads it. For numbers and tokens, which need no quotes: the driver would look
    at each value twice."""
    return "{" + ",".join(map(str, values)) + "}"


def _in_order(completions: Sequence[Completion]) -> list[Completion]:
    return sorted(completions, key=lambda completion: completion.id)


def release(session: Session, leases: Sequence[tuple[int, str]]) -> None:
    """Give leases back, due at once: this worker stops, and waits no longer for the answers."""
    session.execute(text(_IN_THIS_ORDER))
    session.execute(_RELEASE, _pairs(leases) | {"reason": Reason.WORKER_STOPPED})


def give_back(session: Session, leases: Sequence[tuple[int, str]]) -> None:
    """Give leases back of what was not sent: due at once, and no attempt was made."""
    session.execute(text(_IN_THIS_ORDER))
    session.execute(_GIVE_BACK, _pairs(leases))


def _pairs(leases: Sequence[tuple[int, str]]) -> dict[str, Any]:
    ordered = sorted(leases)
    return {"ids": [lease[0] for lease in ordered], "tokens": [lease[1] for lease in ordered]}
