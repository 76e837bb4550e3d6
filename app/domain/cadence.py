"""When a webhook is checked next.

Each has a phase of its own within its interval, by its id, so that checks don't march in step,
whatever made many due at once: an import, a change of many, the end of an outage. A check that was
due in phase is followed by the next one in phase, however late it was; what was missed meanwhile is
not made up for. A check that was not due in phase (the first, one by hand) is followed by the first
one in phase that is at least half an interval away.
"""

from datetime import UTC, datetime
from math import floor

# A prime, and its golden section: the multiples of the one by the other spread evenly whatever
# range of ids they are of (Knuth, The Art of Computer Programming 3, 6.4).
_STEPS, _STRIDE = 1_000_003, 618_035
_HALF_A_MICROSECOND = 0.0005  # in ms


def phase_ms(webhook_id: int, interval_seconds: int) -> int:
    """Where in its interval a webhook is checked: 0 to the interval."""
    return webhook_id % _STEPS * _STRIDE % _STEPS * interval_seconds * 1000 // _STEPS


def next_check(webhook_id: int, interval_seconds: int, due: datetime, now: datetime) -> datetime:
    """When to check again, after a check that was `due` then and is over now."""
    interval = interval_seconds * 1000
    phase = phase_ms(webhook_id, interval_seconds)
    earliest = _milliseconds(now)
    if (_milliseconds(due) - phase) % interval:
        earliest += interval // 2
    following = phase + ((earliest - phase) // interval + 1) * interval
    return datetime.fromtimestamp(following / 1000, UTC)


def _milliseconds(moment: datetime) -> int:
    """Whole ones since 1970. Every check comes through here, and floats are quicker than
    differences of times; they are exact to a fraction of a microsecond."""
    return floor(moment.timestamp() * 1000 + _HALF_A_MICROSECOND)
