"""The health of a webhook: a state machine from checks to a status.

A check passes, passes slowly, or fails. `failure_threshold` failures in a row make a webhook
unavailable; as many in a row that were slow or failed make it degraded; `recovery_threshold`
passes in a row make it healthy again. What is unavailable needs as many checks in a row that do
not fail, and is degraded for a start when the last of them is slow. The first pass of a webhook
never checked makes it healthy.
"""

from dataclasses import dataclass
from enum import StrEnum


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
    REFUSED_BY_EGRESS_GUARD = "refused_by_egress_guard"
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    CONNECTION_RESET = "connection_reset"
    PROTOCOL_ERROR = "protocol_error"


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """What is asked of a webhook. `expected_status` None means any below 500."""

    expected_status: tuple[int, ...] | None = None
    max_latency_ms: int | None = None
    failure_threshold: int = 3
    recovery_threshold: int = 2


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    outcome: CheckOutcome
    reason: CheckReason


@dataclass(frozen=True, slots=True)
class Health:
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


def judge(
    policy: CheckPolicy, http_status: int | None, failure: str | None, latency_ms: float
) -> CheckVerdict:
    """Judge one check by its policy."""
    if failure is not None or http_status is None:
        return CheckVerdict(CheckOutcome.FAILED, _FAILURES[failure or "protocol"])
    expected = (
        http_status < 500
        if policy.expected_status is None
        else http_status in policy.expected_status
    )
    if not expected:
        return CheckVerdict(CheckOutcome.FAILED, CheckReason.UNEXPECTED_STATUS)
    if policy.max_latency_ms is not None and latency_ms > policy.max_latency_ms:
        return CheckVerdict(CheckOutcome.SLOW, CheckReason.TOO_SLOW)
    return CheckVerdict(CheckOutcome.PASSED, CheckReason.AS_EXPECTED)


def advance(health: Health, outcome: CheckOutcome, policy: CheckPolicy) -> Health:
    """The health after one more check."""
    failed = outcome is CheckOutcome.FAILED
    passed = outcome is CheckOutcome.PASSED
    failures = health.failures + 1 if failed else 0
    slow = 0 if passed else health.slow + 1
    successes = 0 if failed else health.successes + 1
    status = health.status
    if failures >= policy.failure_threshold:
        status = HealthStatus.UNAVAILABLE
    elif status is HealthStatus.UNAVAILABLE:
        if successes >= policy.recovery_threshold:
            status = HealthStatus.HEALTHY if passed else HealthStatus.DEGRADED
    elif slow >= policy.failure_threshold:
        status = HealthStatus.DEGRADED
    elif passed and (
        status is HealthStatus.UNKNOWN
        or (status is HealthStatus.DEGRADED and successes >= policy.recovery_threshold)
    ):
        status = HealthStatus.HEALTHY
    if status is HealthStatus.DEGRADED and not passed:
        # However many slow checks there were: it takes passes to recover from slowness.
        successes = 0
    return Health(status, failures, slow, successes)


def is_worth_telling(before: HealthStatus, after: HealthStatus) -> bool:
    """Whether a change of status is told; a first check that passes is no news."""
    return before is not after and not (
        before is HealthStatus.UNKNOWN and after is HealthStatus.HEALTHY
    )
