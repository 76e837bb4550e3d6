"""Who is measured. All do a round the same way.

Before the gun the workers are up and have delivered a first batch, so that neither imports nor
first connections are measured. Where a backlog is delivered it is in place by then; where
taking in is measured too, that begins with the gun.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

# So many hand in batches at once.
CLIENTS = 2

Batch = TypeVar("Batch")

# What must arrive, by message id: the secret that signs it, None where nothing does.
Accepted = Mapping[str, str | None]


@dataclass(frozen=True)
class Ready:
    """Workers that wait for the gun.

    `release` fires it and tells since when, by the monotonic clock. Where taking in is measured,
    it takes in, and is back when all is accepted. `accepted` can be asked after that.
    `is_settled` becomes true when nothing is left to do.
    """

    pids: Sequence[int]
    release: Callable[[], float]
    accepted: Callable[[], Accepted]
    is_settled: Callable[[], bool]


class Contestant(Protocol):
    """`count` is how many messages a round has."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def count(self) -> int: ...

    def ready(self, run: str) -> AbstractContextManager[Ready]: ...


def hand_in(take: Callable[[Batch], None], batches: Sequence[Batch]) -> None:
    """All batches, by `CLIENTS` who hand in one after another. Raises what `take` raises."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in clients.map(take, batches):
            pass
