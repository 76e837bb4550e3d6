"""Silences: when they are in force, by which clocks, and until when."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.domain.silences import (
    DAYS,
    Recurrence,
    Silence,
    SilenceKind,
    SilenceStatus,
    in_force_until,
    status_of,
    time_zones,
)

BERLIN = ZoneInfo("Europe/Berlin")
MICROSECOND = timedelta(microseconds=1)
EVER = datetime(2000, 1, 1, tzinfo=UTC)
# Where clocks change by an hour, by half an hour, over midnight, and not at all.
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Pacific/Apia",
    "UTC",
]


def clock(text: str) -> time:
    return time.fromisoformat(text)


def berlin(text: str, fold: int = 0) -> datetime:
    """What clocks in Berlin show, as an instant; `fold` 1: for the second time."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def once(starts: str, ends: str | None) -> Silence:
    return Silence(
        1, SilenceKind.SILENCE, (), berlin(starts), None if ends is None else berlin(ends)
    )


def weekly(
    days: str,
    begins: str,
    ends: str,
    zone: str = "Europe/Berlin",
    starts_at: datetime = EVER,
    ends_at: datetime | None = None,
) -> Silence:
    recurrence = Recurrence(frozenset(days.split()), clock(begins), clock(ends), zone)
    return Silence(1, SilenceKind.MAINTENANCE, (), starts_at, ends_at, recurrence)


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("2026-11-24 11:59:59", SilenceStatus.PENDING),
        ("2026-11-24 12:00", SilenceStatus.ACTIVE),
        ("2026-11-24 13:59:59", SilenceStatus.ACTIVE),
        ("2026-11-24 14:00", SilenceStatus.EXPIRED),
    ],
)
def test_once(now: str, status: SilenceStatus) -> None:
    silence = once("2026-11-24 12:00", "2026-11-24 14:00")
    assert status_of(silence, berlin(now)) is status
    until = silence.ends_at if status is SilenceStatus.ACTIVE else None
    assert in_force_until(silence, berlin(now)) == until


NIGHT = ("mon fri", "22:00", "06:00")
OFFICE = ("mon tue wed thu fri", "09:00", "17:00")
WEEKEND = ("sat sun", "00:00", "00:00")


@pytest.mark.parametrize(
    ("window", "now", "until"),
    [
        # 2026-11-23 is a Monday.
        (NIGHT, "2026-11-23 21:59:59", None),
        (NIGHT, "2026-11-23 22:00", "2026-11-24 06:00"),
        (NIGHT, "2026-11-24 00:00", "2026-11-24 06:00"),
        (NIGHT, "2026-11-24 05:59:59", "2026-11-24 06:00"),
        (NIGHT, "2026-11-24 06:00", None),
        (NIGHT, "2026-11-24 22:00", None),  # its day is the one on which it begins
        (NIGHT, "2026-11-28 05:59", "2026-11-28 06:00"),
        (NIGHT, "2026-11-23 05:59", None),
        (OFFICE, "2026-11-23 08:59", None),
        (OFFICE, "2026-11-23 09:00", "2026-11-23 17:00"),
        (OFFICE, "2026-11-23 17:00", None),
        (OFFICE, "2026-11-28 12:00", None),
        # From midnight to midnight is the whole day.
        (WEEKEND, "2026-11-27 23:59", None),
        (WEEKEND, "2026-11-28 00:00", "2026-11-29 00:00"),
        (WEEKEND, "2026-11-29 00:00", "2026-11-30 00:00"),
        (WEEKEND, "2026-11-30 00:00", None),
        # 2026-03-29: at 02:00 clocks show 03:00.
        (("sun", "01:00", "04:00"), "2026-03-29 01:30", "2026-03-29 04:00"),
        (("sun", "01:00", "02:30"), "2026-03-29 01:59", "2026-03-29 03:00"),
        (("sun", "01:00", "02:30"), "2026-03-29 03:00", None),
        (("sun", "02:30", "03:30"), "2026-03-29 01:59", None),
        (("sun", "02:30", "03:30"), "2026-03-29 03:00", "2026-03-29 03:30"),
        (("sun", "02:15", "02:45"), "2026-03-29 03:00", None),  # a time that did not come
        (("sun", "02:15", "02:45"), "2026-03-29 03:30", None),
        (("sat", "22:00", "06:00"), "2026-03-28 23:00", "2026-03-29 06:00"),
    ],
)
def test_weekly(window: tuple[str, str, str], now: str, until: str | None) -> None:
    expected = None if until is None else berlin(until)
    assert in_force_until(weekly(*window), berlin(now)) == expected


@pytest.mark.parametrize(
    ("begins", "ends", "now", "fold", "until"),
    [
        # 2026-10-25: at 03:00 clocks show 02:00 again.
        ("02:00", "02:45", "01:59", 0, None),
        ("02:00", "02:45", "02:00", 0, "02:45"),
        ("02:00", "02:45", "02:30", 1, "02:45"),
        ("02:00", "02:45", "02:45", 1, None),
        ("02:30", "03:30", "02:29", 0, None),
        ("02:30", "03:30", "02:30", 0, "03:30"),
        ("02:30", "03:30", "02:15", 1, "03:30"),
        ("01:00", "04:00", "02:30", 1, "04:00"),
    ],
)
def test_weekly_when_clocks_are_put_back(
    begins: str, ends: str, now: str, fold: int, until: str | None
) -> None:
    """From the first time that they show its beginning to the last that they show its end."""
    found = in_force_until(weekly("sun", begins, ends), berlin(f"2026-10-25 {now}", fold))
    assert found == (None if until is None else berlin(f"2026-10-25 {until}", fold=1))


def test_a_window_ends_where_the_silence_does() -> None:
    silence = weekly("tue", "09:00", "17:00", ends_at=berlin("2026-11-24 12:00"))
    assert in_force_until(silence, berlin("2026-11-24 10:00")) == silence.ends_at
    assert in_force_until(silence, berlin("2026-11-24 12:00")) is None
    later = weekly("tue", "09:00", "17:00", starts_at=berlin("2026-11-24 10:00"))
    assert in_force_until(later, berlin("2026-11-24 09:30")) is None
    assert in_force_until(later, berlin("2026-11-24 10:00")) == berlin("2026-11-24 17:00")


def test_a_day_that_a_country_skipped() -> None:
    """Samoa had no 30 December 2011: clocks jumped from the end of the 29th to the 31st."""
    jump = datetime(2011, 12, 30, 10, 0, tzinfo=UTC)
    silence = weekly("thu", "22:00", "06:00", "Pacific/Apia")
    assert in_force_until(silence, jump - timedelta(hours=1)) == jump
    assert in_force_until(silence, jump) is None
    assert in_force_until(weekly("fri", "01:00", "23:00", "Pacific/Apia"), jump) is None


def test_zones_have_names() -> None:
    assert {*ZONES, "Etc/GMT+5"} <= time_zones()
    assert not {"Berlin", "CEST", "../etc/passwd", "", "+01:00"} & time_zones()


minutes = st.integers(0, 24 * 60 - 1).map(lambda minute: time(minute // 60, minute % 60))
recurrences = st.builds(
    Recurrence,
    days=st.frozensets(st.sampled_from(DAYS), min_size=1),
    begins=minutes,
    ends=minutes,
    time_zone=st.sampled_from(ZONES),
)


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    """Any time of some years, more often one around a change of clocks."""
    around = draw(
        st.sampled_from(
            [
                datetime(2026, 3, 29, 1, tzinfo=UTC),
                datetime(2026, 10, 25, 1, tzinfo=UTC),
                datetime(2026, 3, 8, 5, tzinfo=UTC),
                datetime(2026, 11, 1, 5, tzinfo=UTC),
                datetime(2026, 4, 4, 15, tzinfo=UTC),
                datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
                datetime(2026, 4, 23, 22, tzinfo=UTC),
                datetime(2026, 10, 29, 21, tzinfo=UTC),
            ]
        )
    )
    offset = draw(st.integers(-36 * 60, 36 * 60) | st.integers(-(10**6), 10**6))
    return around + timedelta(minutes=offset, seconds=draw(st.integers(0, 59)))


def silence_of(recurrence: Recurrence, ends_at: datetime | None = None) -> Silence:
    return Silence(1, SilenceKind.SILENCE, (), EVER, ends_at, recurrence)


# Most moments are in no window, and say nothing here.
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(recurrence=recurrences, now=moments())
def test_it_lasts_until_it_is_over(recurrence: Recurrence, now: datetime) -> None:
    """`until` is never past; a moment before it is in force, and at that moment it is not, but
    where the window of another day has begun by then.
    """
    silence = silence_of(recurrence)
    until = in_force_until(silence, now)
    assume(until is not None)
    assert until is not None
    assert now < until <= now + timedelta(hours=26)
    assert in_force_until(silence, until - MICROSECOND) == until
    then = in_force_until(silence, until)
    width = (
        datetime.combine(date.min, recurrence.ends) - datetime.combine(date.min, recurrence.begins)
    ) % timedelta(days=1)
    if timedelta(0) < width < timedelta(hours=22):
        assert then is None
    else:
        assert then is None or then > until


@given(recurrence=recurrences, now=moments())
def test_it_is_in_force_while_clocks_show_its_hours(recurrence: Recurrence, now: datetime) -> None:
    """The plain reading of it, by what a clock on the wall shows."""
    zone = ZoneInfo(recurrence.time_zone)
    shown = now.astimezone(zone)
    of_today = DAYS[shown.weekday()] in recurrence.days
    of_yesterday = DAYS[(shown - timedelta(days=1)).weekday()] in recurrence.days
    if recurrence.begins < recurrence.ends:
        reads = of_today and recurrence.begins <= shown.time() < recurrence.ends
    else:
        reads = (of_today and shown.time() >= recurrence.begins) or (
            of_yesterday and shown.time() < recurrence.ends
        )
    is_in_force = in_force_until(silence_of(recurrence), now) is not None
    # Around a time that comes twice it may go on in between.
    day = timedelta(days=1)
    settled = (now - day).astimezone(zone).utcoffset() == (now + day).astimezone(zone).utcoffset()
    if settled:
        assert is_in_force is reads
    else:
        assert is_in_force or not reads


@given(recurrence=recurrences, now=moments(), left=st.integers(0, 10**6))
def test_it_never_outlasts_the_silence(recurrence: Recurrence, now: datetime, left: int) -> None:
    ends_at = now + timedelta(seconds=left)
    until = in_force_until(silence_of(recurrence, ends_at), now)
    unbounded = in_force_until(silence_of(recurrence), now)
    if until is None:
        assert left == 0 or unbounded is None
    else:
        assert unbounded is not None
        assert until == min(ends_at, unbounded)
