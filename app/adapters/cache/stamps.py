"""Who wrote to each table lately, as far as this process has heard."""

import threading
from collections.abc import Iterable, Mapping

from app.domain.snapshot import Snapshot, Stamp


class Stamps:
    """Thread-safe; as many as there are tables.

    `version` changes with each piece of news: what was found right at a version need not be looked
    at again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Stamp] = {}
        self.version = 0

    def hear(self, news: Mapping[str, Stamp]) -> None:
        """These tables were written to. What is known already changes nothing."""
        with self._lock:
            for table, stamp in news.items():
                before = self._known.get(table, Stamp())
                after = before.merged(stamp)
                if after != before:
                    self._known[table] = after
                    # After the stamp: who sees this version sees the stamp.
                    self.version += 1

    def renumber(self) -> None:
        """Let everybody look again."""
        with self._lock:
            self.version += 1

    def refute(self, snapshot: Snapshot, tables: Iterable[str]) -> bool:
        """Whether somebody whom the snapshot doesn't see wrote to one of these tables."""
        known = self._known
        return any(
            not stamp.is_seen_by(snapshot)
            for stamp in (known.get(table) for table in tables)
            if stamp is not None
        )
