"""A breaker: after a failure, spare everybody the wait, and let one try now and then."""

import threading
import time


class Breaker:
    """Thread-safe. `rest_seconds` is how long nobody tries after a failure."""

    def __init__(self, rest_seconds: float) -> None:
        self._rest = rest_seconds
        self._lock = threading.Lock()
        self._closed = True
        self._next_trial = 0.0

    @property
    def is_open(self) -> bool:
        return not self._closed

    def allows(self) -> bool:
        """Whether to try. While open, one caller in each rest is let through as the trial."""
        if self._closed:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._next_trial:
                return False
            self._next_trial = now + self._rest
            return True

    def succeeded(self) -> None:
        self._closed = True

    def failed(self) -> None:
        with self._lock:
            self._closed = False
            self._next_trial = time.monotonic() + self._rest
