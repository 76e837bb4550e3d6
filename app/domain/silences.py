"""Silences and maintenance windows: whether one is in force, and until when."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from app.domain.matchers import Matcher


class SilenceKind(StrEnum):
    SILENCE = "silence"
    MAINTENANCE = "maintenance"


# As date.weekday() counts.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


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
        """Beginning and end of the window that begins on `day`, in UTC. Where clocks are put
        forward over one of them, it is as late as if they had not been (PEP 495, fold 0).
        """
        zone = ZoneInfo(self.time_zone)
        last_day = day if self.ends > self.begins else day + timedelta(days=1)
        return (
            datetime.combine(day, self.begins, zone).astimezone(UTC),
            datetime.combine(last_day, self.ends, zone).astimezone(UTC),
        )


@dataclass(frozen=True, slots=True)
class Silence:
    """`ends_at` may be None only of one that recurs."""

    id: int
    kind: SilenceKind
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime | None
    recurrence: Recurrence | None = None


def in_force_until(silence: Silence, now: datetime) -> datetime | None:
    """When it is over if it is in force now; None if it is not."""
    if now < silence.starts_at or (silence.ends_at is not None and now >= silence.ends_at):
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
