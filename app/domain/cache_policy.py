"""How long a cached answer is good for. Times are in seconds; chance is an argument."""

from dataclasses import dataclass
from typing import Final

# Promise 7: nothing older than this is served, whatever happens.
STALE_LIMIT_SECONDS: Final = 300.0
NEGATIVE_SECONDS: Final = 3.0
# A life is cut by up to so much of itself, so that what was loaded together ends apart. It is
# never made longer: with no news from other processes the time to live is all there is.
JITTER: Final = 0.1
# In the last part of its life an answer is renewed while it is still served.
RENEWED_FROM: Final = 0.8


@dataclass(frozen=True, slots=True)
class Life:
    """Of one answer, in seconds since it was loaded.

    It is good until `good`; from `renew` on one caller renews it; and while the database is away
    it is served until `stale`.
    """

    renew: float
    good: float
    stale: float


def good_for(ttl: float, chance: float, *, negative: bool = False) -> float:
    """For how many seconds an answer is good, by its time to live; `chance` is in [0, 1).

    `negative` answers say that something does not exist.
    """
    longest = NEGATIVE_SECONDS if negative else STALE_LIMIT_SECONDS
    return min(ttl, longest) * (1 - JITTER * chance)


def life_of(good: float, *, negative: bool = False) -> Life:
    """Of an answer that is good for so many seconds."""
    return Life(good * RENEWED_FROM, good, good if negative else STALE_LIMIT_SECONDS)
