"""How a webhook's own conduct decides how fast it is told: one gate of rate, breaker and probe.

The gate closes when at least `MIN_OUTCOMES` were seen lately and half of them failed. Closed, it
rests; after each rest one delivery is tried. A trial that fails doubles the rest, one that
succeeds opens the gate, and so does a check that finds the webhook recovered. The pace is halved
when the webhook asks for less or does not answer in time, and grows by a quarter for every second
of successes without such a sign.
"""

from enum import IntFlag, StrEnum
from typing import NamedTuple

from app.domain.retry import Reason

MIN_OUTCOMES = 10
WINDOW_OUTCOMES = 40
# Outcomes that are older say nothing of the present.
WINDOW_SECONDS = 60.0
FIRST_REST_SECONDS = 5.0
MAX_REST_SECONDS = 300.0
PACE_FLOOR_PER_SECOND = 1.0
# A pace beyond this restrains nobody, so it is lifted.
PACE_CEILING_PER_SECOND = 1000.0
GENTLE_PACE_PER_SECOND = 5.0
PACE_GROWTH = 1.25
PACE_STEP_SECONDS = 1.0


class Standing(IntFlag):
    """What a claim knows of its webhook."""

    NORMAL = 0
    TRIAL = 1  # its gate is closed, and this delivery is the trial
    UNAVAILABLE = 2  # its checks say so
    FAILING = 4  # nothing has succeeded since `failing_since`
    PACED = 8  # the adaptive pace restrains it


class Gate(StrEnum):
    """`half_open` is a closed gate whose rest is over: one delivery may try."""

    OPEN = "open"
    CLOSED = "closed"
    HALF_OPEN = "half_open"


class TrafficReason(StrEnum):
    """Why a gate or a pace changed."""

    HALF_FAILED = "half_of_outcomes_failed"
    TRIAL_FAILED = "trial_failed"
    TRIAL_SUCCEEDED = "trial_succeeded"
    CHECK_RECOVERED = "check_recovered"
    ASKED_TO_SLOW_DOWN = "asked_to_slow_down"
    TIMED_OUT = "timed_out"
    STEADY_SUCCESS = "steady_success"
    BY_HAND = "by_hand"
    ENABLED = "webhook_enabled"


class DisabledReason(StrEnum):
    """Why Tocsin itself made a webhook inactive."""

    GONE = "gone"
    FAILING = "failing_too_long"


class HouseReason(StrEnum):
    """Why traffic changed for all webhooks at once."""

    PAUSED = "paused"
    RESUMED = "resumed"
    BACK_PRESSURE = "back_pressure"  # more or fewer severities are refused from now on


class Evidence(StrEnum):
    """What an outcome says about its webhook."""

    GOOD = "good"
    BAD = "bad"
    OVERLOADED = "overloaded"  # bad, and a sign that it is told too fast
    NONE = "none"


_EVIDENCE = {
    Reason.ACCEPTED: Evidence.GOOD,
    Reason.ASKED_TO_WAIT: Evidence.OVERLOADED,
    Reason.TIMED_OUT: Evidence.OVERLOADED,
    Reason.RETRY_LATER: Evidence.BAD,
    Reason.SERVER_ERROR: Evidence.BAD,
    Reason.REDIRECT_NOT_FOLLOWED: Evidence.BAD,
    Reason.DNS_FAILED: Evidence.BAD,
    Reason.CONNECT_FAILED: Evidence.BAD,
    Reason.TLS_FAILED: Evidence.BAD,
    Reason.CONNECTION_RESET: Evidence.BAD,
    Reason.PROTOCOL_ERROR: Evidence.BAD,
}


def evidence_of(cause: Reason) -> Evidence:
    """A refusal of one message (4xx) is final for that message, and says nothing of the rest;
    neither does what never left: a lost lease, or an address that the guard refused.
    """
    return _EVIDENCE.get(cause, Evidence.NONE)


class Window(NamedTuple):
    """The outcomes seen lately; `last_at` is the time of the newest, in seconds of any clock."""

    succeeded: int = 0
    failed: int = 0
    last_at: float = 0.0

    def after(self, evidence: Evidence, at: float) -> "Window":
        """With one more outcome. When it is full, the old ones count for half."""
        if evidence is Evidence.NONE:
            return self
        succeeded, failed = self.succeeded, self.failed
        if at - self.last_at > WINDOW_SECONDS:
            succeeded = failed = 0
        elif succeeded + failed >= WINDOW_OUTCOMES:
            succeeded, failed = succeeded // 2, failed // 2
        if evidence is Evidence.GOOD:
            return Window(succeeded + 1, failed, at)
        return Window(succeeded, failed + 1, at)

    @property
    def closes_gate(self) -> bool:
        seen = self.succeeded + self.failed
        return seen >= MIN_OUTCOMES and self.failed * 2 >= seen


def rest_seconds(closings: int) -> float:
    """How long a gate rests that has been closed `closings` times in a row (from 1)."""
    # The exponent is bounded, since a float is.
    return min(FIRST_REST_SECONDS * 2.0 ** min(closings - 1, 16), MAX_REST_SECONDS)


def slower(pace_per_second: float | None, seen_per_second: float) -> float:
    """The pace after a sign of overload; `seen_per_second` is what it was told without one."""
    return max((pace_per_second or seen_per_second) / 2, PACE_FLOOR_PER_SECOND)


def faster(pace_per_second: float, own_limit_per_second: float | None) -> float | None:
    """The pace after a second of successes; None once it restrains no longer."""
    grown = pace_per_second * PACE_GROWTH
    ceiling = min(own_limit_per_second or PACE_CEILING_PER_SECOND, PACE_CEILING_PER_SECOND)
    return None if grown >= ceiling else grown


def probe_may_hold(attempts_made: int, attempts_allowed: int) -> bool:
    """Whether a red probe may hold the next attempt: never the first, never the last."""
    return 0 < attempts_made < attempts_allowed - 1
