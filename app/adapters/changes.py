"""Says to the stream what has changed, from a thread of its own.

Noting takes microseconds and never fails, whatever state Redis is in. While it is away, ids wait,
in bounds; when they were too many, the stream is told that some were lost.
"""

import threading
from collections.abc import Sequence

import structlog

from app.adapters.stream import LOST, Stream
from app.domain.live import Kind

log = structlog.get_logger(__name__)

# Bursts become one entry.
DEBOUNCE_SECONDS = 0.02
# Of each kind.
MAX_WAITING = 500
# Of these, whoever watches is shown a sample anyway.
SAMPLED = frozenset({Kind.DELIVERY})
AFTER_ERROR_SECONDS = 1.0
STOP_WITHIN_SECONDS = 2.0


class ChangeFeed:
    """Any thread may note. The sender's thread is started by the first, so after any fork."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._waiting: dict[str, dict[int, None]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def note(self, kind: Kind, ids: Sequence[int]) -> None:
        """These have changed. Of more than can wait the oldest go, and the stream is told so."""
        if not ids:
            return
        with self._changed:
            waiting = self._waiting.setdefault(kind.value, {})
            waiting.update(dict.fromkeys(ids))
            if len(waiting) > MAX_WAITING:
                self._waiting[kind.value] = dict.fromkeys(list(waiting)[-MAX_WAITING:])
                if kind not in SAMPLED:
                    self._waiting[LOST] = {0: None}
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._send_all, name="changes", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _send_all(self) -> None:
        stream = Stream(self._url)
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
            self._stopping.wait(DEBOUNCE_SECONDS)
            with self._changed:
                batch, self._waiting = self._waiting, {}
            try:
                if batch:
                    stream.note({kind: list(ids) for kind, ids in batch.items()})
            except Exception as error:  # whatever it is, a snapshot will make up for it
                log.warning("changes not told", action="changes_lost", error=str(error))
                # Whether it arrived, nobody knows. What was noted may be told twice, not never.
                with self._changed:
                    self._waiting[LOST] = {0: None}
                self._stopping.wait(AFTER_ERROR_SECONDS)
        stream.close()

    def close(self) -> None:
        """What waits is sent if Redis is there."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_SECONDS)
