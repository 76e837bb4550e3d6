"""A web process warms itself: before it is ready, and when another process says what is wanted."""

import threading
import time
from collections.abc import Sequence

import structlog

from app.adapters.background import Background
from app.services.queries.query import Priority
from app.services.warming import MAX_KEYS, Warmer

log = structlog.get_logger(__name__)

# Longer than that nobody waits for a cache: it fills by itself.
START_SECONDS = 5.0
LISTEN_SECONDS = 1.0
ASKER_WAITS_SECONDS = 0.5
ROUND_SECONDS = 5.0


class WarmStart:
    """The first warming of a process. Thread-safe."""

    def __init__(self, warmer: Warmer) -> None:
        self._warmer = warmer
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._due = 0.0

    def begin(self) -> threading.Thread:
        """After the fork, as soon as the process is there; returns at once, and begins once."""
        with self._lock:
            if self._thread is None:
                self._due = time.monotonic() + START_SECONDS
                self._thread = threading.Thread(target=self._run, name="warm-start", daemon=True)
                self._thread.start()
            return self._thread

    def is_over(self) -> bool:
        """Whether it is done, has failed, or has had its time. Waits for it a little."""
        thread = self.begin()
        if time.monotonic() < self._due:
            thread.join(ASKER_WAITS_SECONDS)
        return not thread.is_alive() or time.monotonic() >= self._due

    def _run(self) -> None:
        try:
            # Who begins to listen forgets what it has: it may have missed something.
            self._warmer.listen(LISTEN_SECONDS)
            keys = [key for priority in Priority for key in self._warmer.asked_lately(priority)]
            warmed = self._warmer.warm(keys, within=START_SECONDS, ahead=0.0)
        except Exception:
            log.exception("not warmed", action="warm_start_failed")
            return
        log.info(
            "warmed", action="warm_start", entries=warmed.entries, still_good=warmed.still_good
        )


class WantedThread:
    """Loads what other processes say will be asked for."""

    def __init__(self, warmer: Warmer) -> None:
        self._warmer = warmer
        self._keys: dict[str, None] = {}
        self._loader = Background("warm-wanted", self._load, stop_within_seconds=1.0)

    def want(self, keys: Sequence[str]) -> None:
        """Returns at once. More than it can hold is left out."""
        with self._loader.leaving():
            room = MAX_KEYS - len(self._keys)
            self._keys |= dict.fromkeys(keys[:room])

    def close(self) -> None:
        self._loader.close()

    def _load(self) -> None:
        with self._loader.taking():
            keys, self._keys = list(self._keys), {}
        if not self._loader.is_stopping:
            self._warmer.warm(keys, within=ROUND_SECONDS, ahead=0.0)
