"""The retry rules, case by case and at every boundary."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.http_messages import Failure
from app.domain.retry import (
    MAX_RETRY_AFTER_SECONDS,
    Attempt,
    Decision,
    DeliveryStatus,
    Reason,
    cause_of,
    decide,
    lost_too_often,
    parse_retry_after,
)

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
SCHEDULE = (0, 100, 1000)
MIDDLE = 0.5  # the luck that leaves a delay as the schedule has it
DAY = 86_400.0

DELIVERED = DeliveryStatus.DELIVERED
FAILED = DeliveryStatus.FAILED
RETRYING = DeliveryStatus.RETRYING


def decide_on(
    http_status: int | None, failure: str | None = None, retry_after: str | None = None
) -> Decision:
    return decide(Attempt(1, http_status, failure, retry_after), SCHEDULE, NOW, MIDDLE)


@pytest.mark.parametrize(
    ("http_status", "status", "reason"),
    [
        (200, DELIVERED, Reason.ACCEPTED),
        (204, DELIVERED, Reason.ACCEPTED),
        (299, DELIVERED, Reason.ACCEPTED),
        (300, RETRYING, Reason.REDIRECT_NOT_FOLLOWED),
        (301, RETRYING, Reason.REDIRECT_NOT_FOLLOWED),
        (308, RETRYING, Reason.REDIRECT_NOT_FOLLOWED),
        (399, RETRYING, Reason.REDIRECT_NOT_FOLLOWED),
        (400, FAILED, Reason.REJECTED),
        (401, FAILED, Reason.REJECTED),
        (404, FAILED, Reason.REJECTED),
        (407, FAILED, Reason.REJECTED),
        (408, RETRYING, Reason.RETRY_LATER),
        (409, FAILED, Reason.REJECTED),
        (410, FAILED, Reason.GONE),
        (411, FAILED, Reason.REJECTED),
        (424, FAILED, Reason.REJECTED),
        (425, RETRYING, Reason.RETRY_LATER),
        (426, FAILED, Reason.REJECTED),
        (428, FAILED, Reason.REJECTED),
        (429, RETRYING, Reason.ASKED_TO_WAIT),
        (430, FAILED, Reason.REJECTED),
        (499, FAILED, Reason.REJECTED),
        (500, RETRYING, Reason.SERVER_ERROR),
        (502, RETRYING, Reason.SERVER_ERROR),
        (503, RETRYING, Reason.ASKED_TO_WAIT),
        (504, RETRYING, Reason.SERVER_ERROR),
        (599, RETRYING, Reason.SERVER_ERROR),
        (999, RETRYING, Reason.SERVER_ERROR),
    ],
)
def test_a_status_decides(http_status: int, status: DeliveryStatus, reason: Reason) -> None:
    decision = decide_on(http_status)
    assert (decision.status, decision.reason, decision.cause) == (status, reason, reason)
    assert (decision.delay_seconds is None) == (status is not RETRYING)
    assert decision.disables_webhook == (http_status == 410)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("refused", Reason.REFUSED_BY_EGRESS_GUARD),
        ("dns", Reason.DNS_FAILED),
        ("connect", Reason.CONNECT_FAILED),
        ("tls", Reason.TLS_FAILED),
        ("timeout", Reason.TIMED_OUT),
        ("reset", Reason.CONNECTION_RESET),
        ("protocol", Reason.PROTOCOL_ERROR),
    ],
)
@pytest.mark.parametrize("http_status", [None, 200, 404, 410])
def test_a_failure_is_retried_whatever_status_came_with_it(
    failure: str, reason: Reason, http_status: int | None
) -> None:
    decision = decide_on(http_status, failure)
    assert decision == Decision(RETRYING, reason, reason, 100.0)


def test_every_failure_of_the_http_adapter_has_a_cause() -> None:
    assert {cause_of(None, failure) for failure in Failure} == {
        Reason.REFUSED_BY_EGRESS_GUARD,
        Reason.DNS_FAILED,
        Reason.CONNECT_FAILED,
        Reason.TLS_FAILED,
        Reason.TIMED_OUT,
        Reason.CONNECTION_RESET,
        Reason.PROTOCOL_ERROR,
    }


@pytest.mark.parametrize(
    ("number", "delay"),
    [(1, 100.0), (2, 1000.0)],
)
def test_the_delay_is_that_of_the_next_attempt(number: int, delay: float) -> None:
    decision = decide(Attempt(number, 500, None), SCHEDULE, NOW, MIDDLE)
    assert decision == Decision(RETRYING, Reason.SERVER_ERROR, Reason.SERVER_ERROR, delay)


@pytest.mark.parametrize("number", [3, 4])
@pytest.mark.parametrize(
    ("http_status", "failure", "cause"),
    [
        (500, None, Reason.SERVER_ERROR),
        (302, None, Reason.REDIRECT_NOT_FOLLOWED),
        (429, None, Reason.ASKED_TO_WAIT),
        (None, "timeout", Reason.TIMED_OUT),
    ],
)
def test_after_the_last_attempt_it_is_failed_with_the_cause_kept(
    number: int, http_status: int | None, failure: str | None, cause: Reason
) -> None:
    decision = decide(Attempt(number, http_status, failure, "5"), SCHEDULE, NOW, MIDDLE)
    assert decision == Decision(FAILED, Reason.ATTEMPTS_EXHAUSTED, cause)


@pytest.mark.parametrize(
    ("http_status", "reason"),
    [(204, Reason.ACCEPTED), (404, Reason.REJECTED), (410, Reason.GONE)],
)
def test_the_last_attempt_still_ends_by_its_own_answer(http_status: int, reason: Reason) -> None:
    assert decide(Attempt(3, http_status, None), SCHEDULE, NOW, MIDDLE).reason is reason


def test_a_schedule_of_one_attempt_has_no_retry() -> None:
    assert decide(Attempt(1, 500, None), (0,), NOW, MIDDLE).status is FAILED


@given(luck=st.floats(0, 1, exclude_max=True), delay=st.integers(0, 604_800))
def test_jitter_stays_within_a_fifth(luck: float, delay: int) -> None:
    decision = decide(Attempt(1, 500, None), (0, delay), NOW, luck)
    assert decision.delay_seconds is not None
    assert 0.8 * delay <= decision.delay_seconds * (1 + 1e-9)
    assert decision.delay_seconds <= 1.2 * delay


def test_jitter_uses_its_whole_range() -> None:
    lowest = decide(Attempt(1, 500, None), SCHEDULE, NOW, 0.0).delay_seconds
    highest = decide(Attempt(1, 500, None), SCHEDULE, NOW, 0.999_999).delay_seconds
    assert lowest == pytest.approx(80.0)
    assert highest == pytest.approx(120.0, abs=0.001)


@pytest.mark.parametrize(
    ("http_status", "retry_after", "delay"),
    [
        (429, "7", 7.0),
        (503, "7", 7.0),
        (503, "0", 0.0),
        (429, "999999", DAY),
        (429, format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        # What can't be read, or wasn't sent, leaves it to the schedule.
        (429, "soon", 100.0),
        (503, None, 100.0),
        # Others have no say.
        (500, "7", 100.0),
        (408, "7", 100.0),
        (302, "7", 100.0),
    ],
)
def test_only_429_and_503_say_when_to_come_back(
    http_status: int, retry_after: str | None, delay: float
) -> None:
    assert decide_on(http_status, None, retry_after).delay_seconds == delay


def test_an_answer_cut_short_has_no_say_in_the_delay() -> None:
    assert decide_on(429, "reset", "7").delay_seconds == 100.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        # Seconds.
        ("0", 0.0),
        ("1", 1.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("007", 7.0),
        ("86400", DAY),
        ("86401", DAY),
        ("9999999999", DAY),
        ("10000000000", DAY),
        ("9" * 10_000, DAY),
        # A date, in the three forms of RFC 9110 (5.6.7).
        ("Wed, 01 Jul 2026 12:00:30 GMT", 30.0),
        ("Wednesday, 01-Jul-26 12:00:30 GMT", 30.0),
        ("Wed Jul  1 12:00:30 2026", 30.0),
        ("Wed, 01 Jul 2026 14:00:30 +0200", 30.0),
        ("Wed, 01 Jul 2026 12:00:00 GMT", 0.0),
        ("Wed, 01 Jul 2026 11:59:59 GMT", 0.0),
        ("Mon, 01 Jan 1990 00:00:00 GMT", 0.0),
        ("Thu, 02 Jul 2026 12:00:00 GMT", DAY),
        ("Thu, 02 Jul 2026 12:00:01 GMT", DAY),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        # Neither.
        (None, None),
        ("", None),
        ("   ", None),
        ("-1", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("5 s", None),
        ("٥", None),  # a digit, but not of ASCII
        ("tomorrow", None),
        ("Wed, 99 Jul 2026 12:00:00 GMT", None),
        ("Wed, 01 Jul 2026 12:00:00 +99999999", None),
        ("Wed, 01 Jul 99999999999 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


# Dates that are nearly right find more than letters by chance do.
DATE_LIKE = st.builds(
    "{} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Wed,", "", "Wed", ","]),
    st.integers(-5, 40),
    st.sampled_from(["Jul 2026", "Jul 99", "Foo 2026", "Feb 0", "Dec 99999"]),
    st.integers(-1, 30),
    st.integers(-1, 70),
    st.integers(-1, 70),
    st.sampled_from(["GMT", "-0000", "+2500", "-99999999", "EST", "", "+24:00"]),
)


@given(st.one_of(st.text(max_size=60), DATE_LIKE))
def test_no_header_can_harm(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_SECONDS


@pytest.mark.parametrize(("number", "is_too_often"), [(1, False), (3, False), (4, True), (9, True)])
def test_a_delivery_is_claimed_no_more_often_than_it_has_attempts(
    number: int, is_too_often: bool
) -> None:
    assert lost_too_often(number, SCHEDULE) is is_too_often
