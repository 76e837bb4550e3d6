"""Silences and maintenance windows: whether one is in force, and until when."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from app.domain.matchers import Matcher


class SilenceKind(StrEnum):
    SILENCE = "silence"
    MAINTENANCE = "maintenance"


class SilenceStatus(StrEnum):
    """Where it is in its time; one that recurs is active between its windows too."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


# As date.weekday() counts.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@cache
def time_zones() -> frozenset[str]:
    """The names of all time zones that are known here."""
    return frozenset(available_timezones())


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Every week on `days`, from one time of day to another by the clocks of `time_zone`.

    A window that ends no later than it begins ends on the day after. Its day is the one on which
    it begins.
    """

    days: frozenset[str]
    begins: time
    ends: time
    time_zone: str

    def window_of(self, day: date) -> tuple[datetime, datetime]:
        """Beginning and end of the window that begins on `day`, in UTC.

        Where clocks are put back, it lasts from the first time that they show its beginning to the
        last time that they show its end. What they jump over begins and ends with the jump.
        """
        zone = ZoneInfo(self.time_zone)
        last_day = day if self.ends > self.begins else day + timedelta(days=1)
        return (
            _instant(datetime.combine(day, self.begins), zone, fold=0),
            _instant(datetime.combine(last_day, self.ends), zone, fold=1),
        )


def _instant(wall: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """When the clocks of a zone show `wall`, in UTC: of two times the one that `fold` says (PEP
    495); of none, the moment at which they jump over it.
    """
    before, after = sorted(wall.replace(tzinfo=zone, fold=one).astimezone(UTC) for one in (0, 1))
    if _shown(before, zone) == wall:
        return after if fold else before
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if _shown(middle, zone) < wall:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _shown(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Silence:
    """`ends_at` may be None only of one that recurs."""

    id: int
    kind: SilenceKind
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime | None
    recurrence: Recurrence | None = None


def status_of(silence: Silence, now: datetime) -> SilenceStatus:
    if silence.ends_at is not None and silence.ends_at <= now:
        return SilenceStatus.EXPIRED
    return SilenceStatus.PENDING if now < silence.starts_at else SilenceStatus.ACTIVE


def in_force_until(silence: Silence, now: datetime) -> datetime | None:
    """When it is over if it is in force now; None if it is not."""
    if status_of(silence, now) is not SilenceStatus.ACTIVE:
        return None
    if silence.recurrence is None:
        return silence.ends_at
    today = now.astimezone(ZoneInfo(silence.recurrence.time_zone)).date()
    # One that began yesterday may go on over midnight.
    for day in (today - timedelta(days=1), today):
        if DAYS[day.weekday()] in silence.recurrence.days:
            begins, ends = silence.recurrence.window_of(day)
            if begins <= now < ends:
                return ends if silence.ends_at is None else min(ends, silence.ends_at)
    return None
