"""What to do after a delivery attempt: the retry rules, as one pure function.

The rules are those of the Standard Webhooks specification (2xx succeeds, 410 disables, 429 and
503 may say when to come back), with the schedule and jitter of DESIGN section 1.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

JITTER = 0.2
MAX_RETRY_AFTER_SECONDS = 24 * 3600
# 4xx answers that another try may change: time-out, too early, too many.
RETRYABLE_4XX = frozenset({408, 425, 429})


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why an attempt ended as it did, or why a delivery is where it is."""

    ACCEPTED = "accepted"
    REDIRECT_NOT_FOLLOWED = "redirect_not_followed"
    GONE = "gone"
    REJECTED = "rejected"
    RETRY_LATER = "retry_later"
    ASKED_TO_WAIT = "asked_to_wait"
    SERVER_ERROR = "server_error"
    REFUSED_BY_EGRESS_GUARD = "refused_by_egress_guard"
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    CONNECTION_RESET = "connection_reset"
    PROTOCOL_ERROR = "protocol_error"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    WEBHOOK_DELETED = "webhook_deleted"
    WEBHOOK_DISABLED = "webhook_disabled"
    SUPERSEDED = "superseded"
    ACKNOWLEDGED = "acknowledged"
    EXPIRED = "expired"
    NEVER_TOLD = "never_told"
    HELD_BEHIND_EARLIER = "held_behind_earlier"
    RETRIED_BY_HAND = "retried_by_hand"
    REDRIVEN = "redriven"
    REDRIVE_CANCELLED = "redrive_cancelled"


class Attempt(NamedTuple):
    """What came of one attempt.

    `number` counts from 1. `failure` is None when a whole answer came; otherwise one of
    refused, dns, connect, tls, timeout, reset, protocol. `retry_after` is the raw header.
    """

    number: int
    http_status: int | None
    failure: str | None
    retry_after: str | None = None


class Decision(NamedTuple):
    """`reason` explains the delivery's new status, `cause` this attempt; usually the same."""

    status: DeliveryStatus
    reason: Reason
    cause: Reason
    delay_seconds: float | None = None
    disables_webhook: bool = False


_FAILURES = {
    "refused": Reason.REFUSED_BY_EGRESS_GUARD,
    "dns": Reason.DNS_FAILED,
    "connect": Reason.CONNECT_FAILED,
    "tls": Reason.TLS_FAILED,
    "timeout": Reason.TIMED_OUT,
    "reset": Reason.CONNECTION_RESET,
    "protocol": Reason.PROTOCOL_ERROR,
}


def cause_of(http_status: int | None, failure: str | None) -> Reason:
    """Name what came of an attempt."""
    if failure is not None:
        return _FAILURES[failure]
    status = http_status or 0
    if 200 <= status < 300:
        return Reason.ACCEPTED
    if 300 <= status < 400:
        return Reason.REDIRECT_NOT_FOLLOWED
    if status == 410:
        return Reason.GONE
    if status in {429, 503}:
        return Reason.ASKED_TO_WAIT
    if status in RETRYABLE_4XX:
        return Reason.RETRY_LATER
    if 400 <= status < 500:
        return Reason.REJECTED
    return Reason.SERVER_ERROR


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110, 10.2.3); None if unreadable.

    A date in the past means now. The wait is clamped to 24 hours.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # More digits than this is over the clamp anyway, and int() of a huge text is slow.
        seconds = float(text[:10]) if len(text) <= 10 else float(MAX_RETRY_AFTER_SECONDS)
    else:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - now).total_seconds()
    return min(max(seconds, 0.0), float(MAX_RETRY_AFTER_SECONDS))


def decide(attempt: Attempt, schedule: tuple[int, ...], now: datetime, luck: float) -> Decision:
    """Decide what an attempt means for its delivery.

    `schedule` holds the delay before each attempt, in seconds, so it also says how many there
    are. `luck` is a number in [0, 1) that spreads retries by ±20 %.
    """
    cause = cause_of(attempt.http_status, attempt.failure)
    if cause is Reason.ACCEPTED:
        return Decision(DeliveryStatus.DELIVERED, cause, cause)
    if cause is Reason.GONE:
        return Decision(DeliveryStatus.FAILED, cause, cause, disables_webhook=True)
    if cause is Reason.REJECTED:
        return Decision(DeliveryStatus.FAILED, cause, cause)
    if attempt.number >= len(schedule):
        return Decision(DeliveryStatus.FAILED, Reason.ATTEMPTS_EXHAUSTED, cause)
    if cause is Reason.ASKED_TO_WAIT:
        asked = parse_retry_after(attempt.retry_after, now)
        if asked is not None:
            return Decision(DeliveryStatus.RETRYING, cause, cause, asked)
    delay = schedule[attempt.number] * (1 - JITTER + 2 * JITTER * luck)
    return Decision(DeliveryStatus.RETRYING, cause, cause, delay)


def lost_too_often(attempt_number: int, schedule: tuple[int, ...]) -> bool:
    """Whether a delivery was claimed more often than it has attempts.

    Attempts are counted at the claim, so only one whose workers died comes here: it ends as
    failed instead of killing workers for ever.
    """
    return attempt_number > len(schedule)
