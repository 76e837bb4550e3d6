"""L1: what this process keeps in its own memory, the least recently used leaving first.

`cachebox` keeps the order (in Rust, safe to share by threads), bounded by the sum of sizes that
it is told. An item of a size that can't fit raises; replacing and evicting are not reported,
so they are counted here, under a lock that only writers take.
"""

import threading
from collections.abc import Callable, Iterable

from cachebox import LRUCache

from app.adapters.cache.entry import Answer
from app.adapters.cache.stamps import Stamps
from app.adapters.cache.stats import LevelStats
from app.domain.cache_policy import Life

# What an item costs beside its body: the key, the entry, the snapshot, a place in the list.
ITEM_OVERHEAD_BYTES = 1024


class Kept:
    """An answer with the monotonic times of its life, and the version at which it was right."""

    __slots__ = (
        "answer",
        "checked",
        "epoch",
        "good_until",
        "renew_at",
        "size",
        "stale_until",
        "tables",
    )

    def __init__(self, answer: Answer, tables: Iterable[str], born: float, life: Life) -> None:
        self.answer = answer
        self.tables = tuple(tables)
        self.renew_at = born + life.renew
        self.good_until = born + life.good
        self.stale_until = born + life.stale
        self.checked = -1
        self.epoch = -1
        self.size = len(answer.entry.body) + ITEM_OVERHEAD_BYTES


class Memory:
    """Thread-safe. With `max_items` 0 it keeps nothing."""

    def __init__(
        self, stamps: Stamps, monotonic: Callable[[], float], *, max_items: int, max_bytes: int
    ) -> None:
        self._stamps = stamps
        self._monotonic = monotonic
        self._max_items = max_items
        self._items: LRUCache[str, Kept] = LRUCache(max_bytes, getsizeof=_size)
        # What is right and young: the way of nearly every request. Counts only what it finds.
        self.get, self._quick_hits = _quick_get(self._items.get, stamps, monotonic)
        self._writing = threading.Lock()
        # Changes when everything is in doubt: what was begun before that is never right after it.
        self.epoch = 0
        # Hits that took a closer look.
        self.hits = 0
        self.misses = 0
        self._evictions = 0
        self._expirations = 0

    def look(self, key: str) -> Kept | None:
        """Whatever is kept, be it old or wrong. Counts nothing."""
        return self._items.get(key)

    def is_right(self, kept: Kept) -> bool:
        """Whether nobody has written since to what it was read from."""
        version = self._stamps.version
        if kept.epoch != self.epoch:
            return False
        if kept.checked != version:
            if self._stamps.refute(kept.answer.entry.snapshot, kept.tables):
                return False
            kept.checked = version
        return True

    def keep(self, key: str, kept: Kept, epoch: int) -> None:
        """Unless what is there was loaded later, or this was begun in another epoch."""
        if not self._max_items or kept.size > self._items.maxsize:
            return
        with self._writing:
            if epoch != self.epoch:
                return
            there = self._items.peek(key)
            if there is not None and there.epoch == epoch and there.answer.born > kept.answer.born:
                return
            kept.epoch = epoch
            before = len(self._items) + (there is None)
            self._items.insert(key, kept)
            self._items.drain(len(self._items) - self._max_items)
            self._evictions += before - len(self._items)

    def drop(self, key: str) -> bool:
        """Whether it was there."""
        return self._drop([key]) == 1

    def drop_all(self, matching: Callable[[str], bool]) -> int:
        """Forget the keys for which `matching` is true; how many."""
        return self._drop([key for key in self._all() if matching(key)])

    def doubt(self) -> None:
        """News were missed: nothing is right any more, but for when the database is away."""
        with self._writing:
            self.epoch += 1
        # After the epoch: who looks closer because of it finds the new one.
        self._stamps.renumber()

    def clear(self) -> int:
        """Forget everything, also what is being loaded; how many there were."""
        self.doubt()
        with self._writing:
            dropped = len(self._items)
            self._items.clear()
            return dropped

    def sweep(self) -> None:
        """Forget what is too old to be served even while the database is away."""
        now = self._monotonic()
        over = [key for key, kept in self._all().items() if kept.stale_until <= now]
        self._expirations += self._drop(over)

    def stats(self) -> LevelStats:
        return LevelStats(
            len(self._items),
            self._items.current_size(),
            self.hits + self._quick_hits(),
            self.misses,
            self._evictions,
            self._expirations,
        )

    def _all(self) -> LRUCache[str, Kept]:
        """A copy, made in one go: readers move items, and who goes through them meanwhile fails."""
        return self._items.copy()

    def _drop(self, keys: Iterable[str]) -> int:
        with self._writing:
            return sum(self._items.pop(key, None) is not None for key in keys)


def _quick_get(
    find: Callable[[str], Kept | None], stamps: Stamps, monotonic: Callable[[], float]
) -> tuple[Callable[[str], Kept | None], Callable[[], int]]:
    """L1's get, and how often it found something.

    A closure: its names are cells, which makes it a fifth cheaper than a method (measured). The
    count needs no lock: CPython does not change threads between reading and writing it, but at
    calls and jumps back.
    """
    hits = 0

    def get(key: str) -> Kept | None:
        nonlocal hits
        kept = find(key)
        if kept is not None and kept.checked == stamps.version and monotonic() < kept.renew_at:
            hits += 1
            return kept
        return None

    return get, lambda: hits


def _size(_key: str, kept: Kept) -> int:
    return kept.size
