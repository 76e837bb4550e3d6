"""What the cache counted in this process since it began."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LevelStats:
    """`items` and `bytes` are of now; None: not known, since the server does not answer.

    L2's hits, misses and errors are this process's; the rest is the server's, of all processes.
    """

    items: int | None
    bytes: int | None
    hits: int
    misses: int
    evictions: int | None
    expirations: int | None
    errors: int = 0
    is_resting: bool = False

    @property
    def hit_rate(self) -> float | None:
        """Hits among all that were asked for, 0 to 1; None before anything was."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@dataclass(frozen=True, slots=True)
class CacheStats:
    """`l2` is None where there is none. The breakers: `l2.is_resting`, `database_is_resting`."""

    l1: LevelStats
    l2: LevelStats | None
    loads: int
    load_errors: int
    stale_served: int
    flights_joined: int
    renewals: int
    database_is_resting: bool
    is_listening: bool
