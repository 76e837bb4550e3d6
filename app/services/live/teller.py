"""Makes the stream's messages, in one process at a time: of what has changed, and of the figures.

Only while somebody watches. What changed meanwhile waits in Redis, and is told when somebody is
back; where too much waited, a snapshot tells it all.
"""

import threading
from collections import Counter
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.clock import Clock
from app.adapters.stream import Changes, LeaseLost, Stream, StreamError
from app.domain.live import Kind, Note
from app.services.live.sights import Sights

log = structlog.get_logger(__name__)

METRICS_EVERY_SECONDS = 1.0
LEASE_EVERY_SECONDS = 1.0
SNAPSHOT_EVERY_SECONDS = 2.0
# Changes of so long are told together.
GATHER_SECONDS = 0.05
AFTER_ERROR_SECONDS = 0.5
LOOK_FOR_READERS_SECONDS = 0.1
# Events a second. Of more deliveries there is a sample; of more of the others a snapshot.
MOST_A_SECOND = {
    Kind.DELIVERY: 20,
    Kind.ALERT: 200,
    Kind.WEBHOOK: 200,
    Kind.JOB: 50,
    Kind.ANOMALY: 50,
}


class Teller:
    """For one thread: `run` until `stopping`. `is_watched` says whether anybody reads."""

    def __init__(
        self, stream: Stream, sights: Sights, clock: Clock, is_watched: Callable[[], bool]
    ) -> None:
        self._stream = stream
        self._sights = sights
        self._clock = clock
        self._is_watched = is_watched
        self._cursor: str | None = None  # None: the lease is not ours
        self._lease_at = self._metrics_at = self._snapshot_at = self._second_at = 0.0
        self._wants_snapshot = False
        self._told: Counter[Kind] = Counter()
        self._not_shown: Counter[str] = Counter()

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                if not self._is_watched():
                    self._let_go()
                    stopping.wait(LOOK_FOR_READERS_SECONDS)
                elif (cursor := self._hold()) is not None:
                    self._turn(cursor, stopping)
                else:
                    stopping.wait(LEASE_EVERY_SECONDS)
            except LeaseLost:
                self._cursor = None
            except (StreamError, SQLAlchemyError) as error:
                # What was not told is told by whoever has the lease next.
                log.debug("not told", action="teller_waits", error=str(error))
                self._cursor = None
                stopping.wait(AFTER_ERROR_SECONDS)
            except Exception:
                log.exception("telling failed", action="teller_failed")
                self._cursor = None
                stopping.wait(AFTER_ERROR_SECONDS)
        try:
            self._let_go()
        except StreamError as error:
            log.debug("lease not given back", action="teller_gone", error=str(error))

    def _let_go(self) -> None:
        if self._cursor is not None:
            self._cursor = None
            self._stream.let_go()

    def _hold(self) -> str | None:
        """Where to go on from, if the lease is ours."""
        now = self._clock.monotonic()
        if self._cursor is not None and now < self._lease_at:
            return self._cursor
        self._lease_at = now + LEASE_EVERY_SECONDS
        self._cursor = None
        if self._stream.hold_lease():
            # Each time, since a Redis that was emptied has forgotten it.
            self._cursor = self._stream.cursor()
            if self._cursor is None:
                self._cursor = self._stream.newest_change()
                self._wants_snapshot = True
        return self._cursor

    def _turn(self, cursor: str, stopping: threading.Event) -> None:
        now = self._clock.monotonic()
        wait = max(0.0, min(self._metrics_at, self._lease_at) - now)
        changes = self._stream.changes(cursor, wait)
        notes = self._tell_of(changes)
        now = self._clock.monotonic()
        if self._wants_snapshot and now >= self._snapshot_at:
            self._wants_snapshot = False
            self._snapshot_at = now + SNAPSHOT_EVERY_SECONDS
            notes = [self._sights.note("snapshot", self._sights.snapshot("stream"))]
        if now >= self._metrics_at:
            self._metrics_at = now + METRICS_EVERY_SECONDS
            notes.append(self._sights.metrics(self._not_shown))
            self._not_shown.clear()
        if notes or changes.cursor != cursor:
            now_ms = int(self._clock.now().timestamp() * 1000)
            self._stream.publish(notes, changes.cursor, now_ms)
            self._cursor = changes.cursor
        if changes.ids:
            stopping.wait(GATHER_SECONDS)

    def _tell_of(self, changes: Changes) -> list[Note]:
        if not changes.is_whole:
            self._wants_snapshot = True
        now = self._clock.monotonic()
        if now >= self._second_at:
            self._second_at = now + 1.0
            self._told.clear()
        chosen: dict[Kind, list[int]] = {}
        for name, ids in changes.ids.items():
            kind = Kind(name)
            room = max(0, MOST_A_SECOND[kind] - self._told[kind])
            # The newest; `[-0:]` would be all of them.
            chosen[kind] = ids[len(ids) - min(room, len(ids)) :]
            self._told[kind] += len(chosen[kind])
            left_out = len(ids) - len(chosen[kind])
            if left_out:
                self._not_shown[kind.value] += left_out
                self._wants_snapshot |= kind is not Kind.DELIVERY
        return self._sights.events(chosen) if any(chosen.values()) else []
