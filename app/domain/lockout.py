"""When a login is refused unheard: after so many that failed, for a time that doubles.

As OWASP's Authentication Cheat Sheet has it: counted per account, with an observation window and an
exponential wait; per address besides, against one password that is tried on many accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# What is older counts no more.
WINDOW = timedelta(minutes=15)
FIRST_WAIT = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Failures that cost nothing yet, within WINDOW."""

    name: str
    failures: int


# One who mistypes; one who has many machines guess; one machine that guesses at many names, or
# many people behind one address.
OF_USER_AND_ADDRESS = Allowance("user and address", 5)
OF_USER = Allowance("user", 30)
OF_ADDRESS = Allowance("address", 60)


def refused_until(failed_at: Sequence[datetime], allowance: Allowance) -> datetime | None:
    """When the next attempt is heard; None: it is heard now, as far as these failures go.

    `failed_at`, the newest first, are those within WINDOW. The wait begins with the newest: 15 s
    after the last free one, twice as long with each after it, the whole window at most.
    """
    beyond = len(failed_at) - allowance.failures
    if beyond < 0:
        return None
    doublings: int = 2 ** min(beyond, 10)
    return failed_at[0] + min(FIRST_WAIT * doublings, WINDOW)
