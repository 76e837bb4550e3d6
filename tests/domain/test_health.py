"""The health of a webhook: checks judged, and sequences of outcomes with the statuses they make."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.http_messages import Failure
from app.domain.flapping import FlapReason
from app.domain.health import (
    CheckOutcome,
    CheckPolicy,
    CheckReason,
    CheckVerdict,
    Health,
    HealthStatus,
    Parents,
    advance,
    certificate_is_short,
    goes_down,
    held_up,
    judge,
    news,
    waits_for_parents,
)

P, S, F = CheckOutcome.PASSED, CheckOutcome.SLOW, CheckOutcome.FAILED
OUTCOMES = {"p": P, "s": S, "f": F}
STATUSES = {
    "?": HealthStatus.UNKNOWN,
    "h": HealthStatus.HEALTHY,
    "d": HealthStatus.DEGRADED,
    "u": HealthStatus.UNAVAILABLE,
}
POLICY = CheckPolicy(failure_threshold=3, recovery_threshold=2)


def statuses_of(outcomes: str, policy: CheckPolicy = POLICY) -> str:
    """The status after each outcome, from a webhook that was never checked."""
    health, seen = Health(), []
    names = {status: name for name, status in STATUSES.items()}
    for outcome in outcomes:
        health = advance(health, OUTCOMES[outcome], policy)
        seen.append(names[health.status])
    return "".join(seen)


@pytest.mark.parametrize(
    ("outcomes", "statuses"),
    [
        # Never checked: one pass is enough, bad news needs the threshold.
        ("p", "h"),
        ("f", "?"),
        ("ff", "??"),
        ("fff", "??u"),
        ("ffp", "??h"),
        ("s", "?"),
        ("ssp", "??h"),
        ("sss", "??d"),
        ("ssf", "??d"),
        # Healthy: fewer bad ones than the threshold change nothing, and a pass wipes the slate.
        ("pff", "hhh"),
        ("pffpff", "hhhhhh"),
        ("pfff", "hhhu"),
        ("psspss", "hhhhhh"),
        ("psss", "hhhd"),
        ("psff", "hhhd"),
        ("psfff", "hhhdu"),
        ("pffs", "hhhd"),
        # Degraded: it takes passes in a row to recover; failing takes it further down.
        ("psssp", "hhhdd"),
        ("pssspp", "hhhddh"),
        ("pssspsp", "hhhdddd"),
        ("pssspspp", "hhhddddh"),
        ("pssspfp", "hhhdddd"),
        ("pssspfpp", "hhhddddh"),
        ("psssfff", "hhhdddu"),
        # Unavailable: it takes answers in a row to leave; slow ones make it degraded only.
        ("fffp", "??uu"),
        ("fffpp", "??uuh"),
        ("fffpfp", "??uuuu"),
        ("fffpfpp", "??uuuuh"),
        ("fffs", "??uu"),
        ("fffss", "??uud"),
        ("fffps", "??uud"),
        ("fffsp", "??uuh"),
        ("fffssp", "??uudd"),
        ("fffsspp", "??uuddh"),
        ("ffffff", "??uuuu"),
    ],
)
def test_outcomes_make_statuses(outcomes: str, statuses: str) -> None:
    assert statuses_of(outcomes) == statuses


@pytest.mark.parametrize(
    ("failures", "recoveries", "outcomes", "statuses"),
    [
        (1, 1, "pfp", "huh"),
        (1, 1, "psp", "hdh"),
        (1, 3, "fppp", "uuuh"),
        (1, 3, "fppfppp", "uuuuuuh"),
        (5, 1, "fffffp", "????uh"),
    ],
)
def test_the_thresholds_are_the_webhooks_own(
    failures: int, recoveries: int, outcomes: str, statuses: str
) -> None:
    policy = CheckPolicy(failure_threshold=failures, recovery_threshold=recoveries)
    assert statuses_of(outcomes, policy) == statuses


@given(
    st.text("psf", max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_whatever_comes_the_last_ones_in_a_row_decide(
    outcomes: str, failures: int, recoveries: int
) -> None:
    policy = CheckPolicy(failure_threshold=failures, recovery_threshold=recoveries)
    assert statuses_of(outcomes + "f" * failures, policy).endswith("u")
    # Each worse status is left at the latest when the threshold of passes is there.
    assert statuses_of(outcomes + "p" * recoveries, policy).endswith("h")


@given(st.text("psf", min_size=1, max_size=60), st.integers(2, 5), st.integers(2, 5))
def test_one_check_alone_changes_a_known_status_never(
    outcomes: str, failures: int, recoveries: int
) -> None:
    """With thresholds over one, a status is left only after two checks that agree against it."""
    policy = CheckPolicy(failure_threshold=failures, recovery_threshold=recoveries)
    seen = statuses_of(outcomes, policy)
    for index in range(1, len(seen)):
        before, after = seen[index - 1], seen[index]
        if after == "h" and before in "du":
            assert "f" not in outcomes[index - 1 : index + 1]
        if after == "u" and before != "u":
            assert outcomes[index - failures + 1 : index + 1] == "f" * failures
        if after == "h" and before == "d":
            assert outcomes[index - recoveries + 1 : index + 1] == "p" * recoveries


@pytest.mark.parametrize(
    ("policy", "http_status", "failure", "latency_ms", "verdict"),
    [
        # Any answer below 500 lives, when nothing else is asked for.
        (CheckPolicy(), 200, None, 1.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy(), 302, None, 1.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy(), 404, None, 1.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy(), 405, None, 1.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy(), 499, None, 1.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy(), 500, None, 1.0, (F, CheckReason.UNEXPECTED_STATUS)),
        (CheckPolicy(), 503, None, 1.0, (F, CheckReason.UNEXPECTED_STATUS)),
        # A list of statuses is meant as it is, a 5xx in it too.
        (CheckPolicy((200, 503)), 200, None, 1.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy((200, 503)), 503, None, 1.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy((200, 503)), 204, None, 1.0, (F, CheckReason.UNEXPECTED_STATUS)),
        # Too slow is over the limit, not at it; a wrong answer is wrong however quick.
        (CheckPolicy(None, 100), 200, None, 100.0, (P, CheckReason.AS_EXPECTED)),
        (CheckPolicy(None, 100), 200, None, 100.1, (S, CheckReason.TOO_SLOW)),
        (CheckPolicy(None, 100), 500, None, 100.1, (F, CheckReason.UNEXPECTED_STATUS)),
        (CheckPolicy(None, None), 200, None, 1e6, (P, CheckReason.AS_EXPECTED)),
        # No whole answer fails, whatever status came with it.
        (CheckPolicy(), None, "refused", 1.0, (F, CheckReason.REFUSED_BY_EGRESS_GUARD)),
        (CheckPolicy(), None, "dns", 1.0, (F, CheckReason.DNS_FAILED)),
        (CheckPolicy(), None, "connect", 1.0, (F, CheckReason.CONNECT_FAILED)),
        (CheckPolicy(), None, "tls", 1.0, (F, CheckReason.TLS_FAILED)),
        (CheckPolicy(), None, "timeout", 1.0, (F, CheckReason.TIMED_OUT)),
        (CheckPolicy(), None, "reset", 1.0, (F, CheckReason.CONNECTION_RESET)),
        (CheckPolicy(), None, "protocol", 1.0, (F, CheckReason.PROTOCOL_ERROR)),
        (CheckPolicy(), 200, "timeout", 1.0, (F, CheckReason.TIMED_OUT)),
        (CheckPolicy(), None, None, 1.0, (F, CheckReason.PROTOCOL_ERROR)),
    ],
)
def test_a_check_is_judged(
    policy: CheckPolicy,
    http_status: int | None,
    failure: str | None,
    latency_ms: float,
    verdict: tuple[CheckOutcome, CheckReason],
) -> None:
    assert judge(policy, http_status, failure, latency_ms) == CheckVerdict(*verdict)


def test_every_failure_of_the_http_adapter_is_judged() -> None:
    for failure in Failure:
        assert judge(CheckPolicy(), None, failure, 1.0).outcome is F


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CheckPolicy(body_includes="all good"), CheckReason.AS_EXPECTED),
        (CheckPolicy(body_includes="größe"), CheckReason.AS_EXPECTED),
        (CheckPolicy(body_includes="All Good"), CheckReason.BODY_TEXT_MISSING),
        (CheckPolicy(body_excludes="error"), CheckReason.AS_EXPECTED),
        (CheckPolicy(body_excludes="good"), CheckReason.BODY_TEXT_FORBIDDEN),
        (CheckPolicy(headers=(("x-ready", None),)), CheckReason.AS_EXPECTED),
        (CheckPolicy(headers=(("x-ready", "yes"),)), CheckReason.AS_EXPECTED),
        (CheckPolicy(headers=(("x-ready", "no"),)), CheckReason.HEADER_MISMATCH),
        (CheckPolicy(headers=(("x-other", None),)), CheckReason.HEADER_MISMATCH),
        # The status is looked at first, and slowness last.
        (CheckPolicy((201,), body_includes="nothing"), CheckReason.UNEXPECTED_STATUS),
        (CheckPolicy(max_latency_ms=1, body_includes="nothing"), CheckReason.BODY_TEXT_MISSING),
        (CheckPolicy(max_latency_ms=1, body_includes="good"), CheckReason.TOO_SLOW),
    ],
)
def test_conditions_on_the_answer(policy: CheckPolicy, expected: CheckReason) -> None:
    body = "all good, größe 3".encode()
    assert judge(policy, 200, None, 5.0, body, {"x-ready": "yes"}).reason is expected


@pytest.mark.parametrize(
    ("outcomes", "outcome", "down"),
    [("pff", "f", True), ("pf", "f", False), ("pff", "p", False), ("pfff", "f", False)],
)
def test_what_is_confirmed(outcomes: str, outcome: str, down: bool) -> None:
    before = Health()
    for one in outcomes:
        before = advance(before, OUTCOMES[one], POLICY)
    after = advance(before, OUTCOMES[outcome], POLICY)
    assert goes_down(before, after) is down
    held = held_up(before, after)
    assert held.status is before.status
    assert held[1:] == after[1:]


SINCE = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EARLIER, LATER = SINCE - timedelta(seconds=1), SINCE + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("parents", "failing_since", "waits"),
    [
        (None, SINCE, False),
        (Parents(is_failing=False, checked_since=LATER), SINCE, False),
        (Parents(is_failing=True, checked_since=LATER), SINCE, True),
        (Parents(is_failing=False, checked_since=EARLIER), SINCE, True),
        (Parents(is_failing=False, checked_since=None), SINCE, True),
        # The first failure of one that goes down at once: nobody was asked since.
        (Parents(is_failing=False, checked_since=LATER), None, True),
    ],
)
def test_whether_one_that_goes_down_waits_for_its_parents(
    parents: Parents | None, failing_since: datetime | None, waits: bool
) -> None:
    assert waits_for_parents(parents, failing_since) is waits


H, D, U, UNKNOWN = (STATUSES[name] for name in "hdu?")


@pytest.mark.parametrize(
    ("before", "after", "flap", "blocked", "expected"),
    [
        (H, H, "calm", False, None),
        (UNKNOWN, H, "calm", False, "first_pass"),
        (UNKNOWN, U, "calm", False, "state_changed"),
        (H, D, "calm", False, "state_changed"),
        (U, H, "calm", False, "state_changed"),
        (H, U, "changed_too_often", False, "began_to_flap"),
        (U, H, "still_flapping", False, "quiet_while_flapping"),
        (H, H, "still_flapping", False, None),
        (H, H, "steady", False, "steady_again"),
        (U, U, "steady", False, "steady_again"),
        (UNKNOWN, UNKNOWN, "calm", True, "parent_unavailable"),
    ],
)
def test_what_is_told(
    before: HealthStatus, after: HealthStatus, flap: str, blocked: bool, expected: str | None
) -> None:
    assert news(before, after, FlapReason(flap), is_blocked=blocked) == expected


@pytest.mark.parametrize(
    ("days", "min_days", "has_answered", "short"),
    [
        (15, 14, True, False),
        (14, 14, True, False),
        (13.9, 14, True, True),
        (-1, 14, False, True),
        (1, None, True, False),
        (None, 14, True, False),  # without TLS
        (None, 14, False, None),  # no answer, so nothing is known
    ],
)
def test_whether_a_certificate_is_short_of_days(
    days: float | None, min_days: int | None, has_answered: bool, short: bool | None
) -> None:
    expires = None if days is None else SINCE + timedelta(days=days)
    assert certificate_is_short(expires, SINCE, min_days, has_answered=has_answered) is short
