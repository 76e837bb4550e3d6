"""The health of a webhook: a state machine from checks to a status.

A check passes, passes slowly, or fails. `failure_threshold` failures in a row make a webhook
unavailable; as many in a row that were slow or failed make it degraded; `recovery_threshold`
passes in a row make it healthy again. What is unavailable needs as many checks in a row that do
not fail, and is degraded for a start when the last of them is slow. The first pass of a webhook
never checked makes it healthy.

Before a webhook becomes unavailable, its last failure is confirmed by one more check at once; and
one that depends on others waits until it is known that the failure is not theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from app.domain.flapping import FlapReason


class HealthStatus(StrEnum):
    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class CheckOutcome(StrEnum):
    PASSED = "passed"
    SLOW = "slow"
    FAILED = "failed"


class CheckReason(StrEnum):
    AS_EXPECTED = "as_expected"
    TOO_SLOW = "too_slow"
    UNEXPECTED_STATUS = "unexpected_status"
    BODY_TEXT_MISSING = "body_text_missing"
    BODY_TEXT_FORBIDDEN = "body_text_forbidden"
    HEADER_MISMATCH = "header_mismatch"
    REFUSED_BY_EGRESS_GUARD = "refused_by_egress_guard"
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    CONNECTION_RESET = "connection_reset"
    PROTOCOL_ERROR = "protocol_error"


class CheckDecision(StrEnum):
    """What the rules made of a check, where there was something to decide."""

    CONFIRM_AT_ONCE = "confirm_at_once"
    NOT_CONFIRMED = "not_confirmed"
    WAIT_FOR_PARENT = "wait_for_parent"
    FIRST_PASS = "first_pass"  # noqa: S105 - no password
    STATE_CHANGED = "state_changed"
    BEGAN_TO_FLAP = "began_to_flap"
    QUIET_WHILE_FLAPPING = "quiet_while_flapping"
    STEADY_AGAIN = "steady_again"
    PARENT_UNAVAILABLE = "parent_unavailable"


# Every check goes through here, and to look a member up in its enumeration takes longer than most
# of what is decided with it.
_UNKNOWN, _HEALTHY = HealthStatus.UNKNOWN, HealthStatus.HEALTHY
_DEGRADED, _UNAVAILABLE = HealthStatus.DEGRADED, HealthStatus.UNAVAILABLE
_FAILED, _PASSED = CheckOutcome.FAILED, CheckOutcome.PASSED
_CALM = FlapReason.CALM


# Named tuples, where every check goes through: frozen dataclasses take three times as long to make.
class CheckPolicy(NamedTuple):
    """What is asked of a webhook. `expected_status` None means any below 500.

    `body_includes` must be in the part of the body that is read, `body_excludes` must not.
    `headers` are names in lower case and the values that they must have; None asks only that the
    header is there.
    """

    expected_status: tuple[int, ...] | None = None
    max_latency_ms: int | None = None
    failure_threshold: int = 3
    recovery_threshold: int = 2
    body_includes: str | None = None
    body_excludes: str | None = None
    headers: tuple[tuple[str, str | None], ...] = ()


class CheckVerdict(NamedTuple):
    outcome: CheckOutcome
    reason: CheckReason


class Health(NamedTuple):
    """A status and the counts, all in a row, that it rests on.

    `failures` counts failed checks, `slow` those that failed or were slow, `successes` those
    that did not fail and, of a degraded webhook, those that passed.
    """

    status: HealthStatus = HealthStatus.UNKNOWN
    failures: int = 0
    slow: int = 0
    successes: int = 0


_FAILURES = {
    "refused": CheckReason.REFUSED_BY_EGRESS_GUARD,
    "dns": CheckReason.DNS_FAILED,
    "connect": CheckReason.CONNECT_FAILED,
    "tls": CheckReason.TLS_FAILED,
    "timeout": CheckReason.TIMED_OUT,
    "reset": CheckReason.CONNECTION_RESET,
    "protocol": CheckReason.PROTOCOL_ERROR,
}


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def judge(
    policy: CheckPolicy,
    http_status: int | None,
    failure: str | None,
    latency_ms: float,
    body: bytes = b"",
    headers: Mapping[str, str] = _NO_HEADERS,
) -> CheckVerdict:
    """Judge one check by its policy. The names of `headers` are in lower case."""
    if failure is not None or http_status is None:
        return CheckVerdict(CheckOutcome.FAILED, _FAILURES[failure or "protocol"])
    broken = _broken_condition(policy, http_status, body, headers)
    if broken is not None:
        return CheckVerdict(CheckOutcome.FAILED, broken)
    if policy.max_latency_ms is not None and latency_ms > policy.max_latency_ms:
        return CheckVerdict(CheckOutcome.SLOW, CheckReason.TOO_SLOW)
    return _AS_EXPECTED


_AS_EXPECTED = CheckVerdict(CheckOutcome.PASSED, CheckReason.AS_EXPECTED)


def _broken_condition(
    policy: CheckPolicy, http_status: int, body: bytes, headers: Mapping[str, str]
) -> CheckReason | None:
    expected = (
        http_status < 500
        if policy.expected_status is None
        else http_status in policy.expected_status
    )
    if not expected:
        return CheckReason.UNEXPECTED_STATUS
    if policy.body_includes is not None and policy.body_includes.encode() not in body:
        return CheckReason.BODY_TEXT_MISSING
    if policy.body_excludes is not None and policy.body_excludes.encode() in body:
        return CheckReason.BODY_TEXT_FORBIDDEN
    for name, value in policy.headers:
        given = headers.get(name)
        if given is None or value not in (None, given):
            return CheckReason.HEADER_MISMATCH
    return None


def advance(health: Health, outcome: CheckOutcome, policy: CheckPolicy) -> Health:
    """The health after one more check."""
    failed = outcome is _FAILED
    passed = outcome is _PASSED
    failures = health.failures + 1 if failed else 0
    slow = 0 if passed else health.slow + 1
    successes = 0 if failed else health.successes + 1
    status = health.status
    if failures >= policy.failure_threshold:
        status = _UNAVAILABLE
    elif status is _UNAVAILABLE:
        if successes >= policy.recovery_threshold:
            status = _HEALTHY if passed else _DEGRADED
    elif slow >= policy.failure_threshold:
        status = _DEGRADED
    elif passed and (
        status is _UNKNOWN or (status is _DEGRADED and successes >= policy.recovery_threshold)
    ):
        status = _HEALTHY
    if status is _DEGRADED and not passed:
        # However many slow checks there were: it takes passes to recover from slowness.
        successes = 0
    return Health(status, failures, slow, successes)


def goes_down(before: Health, after: Health) -> bool:
    """Whether this check makes it unavailable: that is confirmed by another one first."""
    return after.status is _UNAVAILABLE and before.status is not _UNAVAILABLE


def held_up(before: Health, after: Health) -> Health:
    """The health of one that goes down, while it is not sure that it does: the counts go on."""
    return after._replace(status=before.status)


@dataclass(frozen=True, slots=True)
class Parents:
    """Those that a webhook depends on and that are not unavailable: whether any of them has failed
    its last check, and when the one that was checked longest ago was (None: never)."""

    is_failing: bool
    checked_since: datetime | None


def waits_for_parents(parents: Parents | None, failing_since: datetime | None) -> bool:
    """Whether one that goes down waits, because the failure may be that of a parent: one is
    failing too, or none knows since this one began to fail."""
    if parents is None:
        return False
    not_asked = failing_since is None or (
        parents.checked_since is None or parents.checked_since < failing_since
    )
    return parents.is_failing or not_asked


def news(
    before: HealthStatus, after: HealthStatus, flap: FlapReason, *, is_blocked: bool
) -> CheckDecision | None:
    """What is to be told after a check; None: nothing, and nothing was decided.

    `is_blocked`: one that it depends on is unavailable.
    """
    if is_blocked:
        return CheckDecision.PARENT_UNAVAILABLE
    if before is after and flap is _CALM:
        return None
    if flap is FlapReason.CHANGED_TOO_OFTEN:
        return CheckDecision.BEGAN_TO_FLAP
    if flap is FlapReason.STEADY:
        return CheckDecision.STEADY_AGAIN
    if before is after:
        return None
    if flap is FlapReason.STILL_FLAPPING:
        return CheckDecision.QUIET_WHILE_FLAPPING
    if before is HealthStatus.UNKNOWN and after is HealthStatus.HEALTHY:
        return CheckDecision.FIRST_PASS
    return CheckDecision.STATE_CHANGED


def certificate_days_left(expires_at: datetime | None, now: datetime) -> int | None:
    """Whole days, 0 on the last one."""
    return None if expires_at is None else max((expires_at - now).days, 0)


def certificate_is_short(
    expires_at: datetime | None, now: datetime, min_days: int | None, *, has_answered: bool
) -> bool | None:
    """Whether a certificate has less than `min_days` left; None where a check without an answer
    shows none, so that nothing is known and nothing changes."""
    days = certificate_days_left(expires_at, now)
    if min_days is None or (days is None and has_answered):
        return False
    return None if days is None else days < min_days
