"""Says to the stream what has changed, from a thread of its own.

Noting takes microseconds and never fails, whatever state Redis is in. While it is away, ids wait,
in bounds; when they were too many, the stream is told that some were lost.
"""

from collections.abc import Sequence

import structlog

from app.adapters.background import Background
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
    """Any thread may note. What waits when it is closed is sent, if Redis is there."""

    def __init__(self, redis_url: str) -> None:
        self._stream = Stream(redis_url)
        self._waiting: dict[str, dict[int, None]] = {}
        self._sender = Background(
            "changes",
            self._send_all,
            stop_within_seconds=STOP_WITHIN_SECONDS,
            debounce_seconds=DEBOUNCE_SECONDS,
        )

    def note(self, kind: Kind, ids: Sequence[int]) -> None:
        """These have changed. Of more than can wait the oldest go, and the stream is told so."""
        if not ids:
            return
        with self._sender.leaving():
            waiting = self._waiting.setdefault(kind.value, {})
            waiting.update(dict.fromkeys(ids))
            if len(waiting) > MAX_WAITING:
                self._waiting[kind.value] = dict.fromkeys(list(waiting)[-MAX_WAITING:])
                if kind not in SAMPLED:
                    self._waiting[LOST] = {0: None}

    def _send_all(self) -> None:
        with self._sender.taking():
            batch, self._waiting = self._waiting, {}
        try:
            self._stream.note({kind: list(ids) for kind, ids in batch.items()})
        except Exception as error:  # whatever it is, a snapshot will make up for it
            log.warning("changes not told", action="changes_lost", error=str(error))
            # Whether it arrived, nobody knows. What was noted may be told twice, not never.
            if not self._sender.pause(AFTER_ERROR_SECONDS):
                with self._sender.leaving():
                    self._waiting[LOST] = {0: None}

    def close(self) -> None:
        self._sender.close()
        self._stream.close()
