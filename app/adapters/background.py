"""A thread of its own, for what nobody should wait for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)


class Background:
    """Runs `work` whenever something was left for it, once for all that came meanwhile.

    Thread-safe. The thread starts when something is left for the first time, so after any fork.
    What was left before `close` is still worked on; `work` may ask `is_stopping` and let it be.
    Where `work` fails, that is logged, and the thread goes on.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        stop_within_seconds: float,
        debounce_seconds: float = 0.0,
    ) -> None:
        """`debounce_seconds`: how long the rest of a burst may take to arrive."""
        self._name = name
        self._work = work
        self._stop_within = stop_within_seconds
        self._debounce = debounce_seconds
        self._changed = threading.Condition()
        self._has_news = False
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """To put something where `work` will find it. Never long: others wait."""
        with self._changed:
            yield
            self._has_news = True
            if self._thread is None and not self.is_stopping:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    @contextmanager
    def taking(self) -> Iterator[None]:
        """For `work`: to take what was left, while nobody leaves anything."""
        with self._changed:
            yield

    def pause(self, seconds: float) -> bool:
        """For `work`, after a failure. Whether it is stopping."""
        return self._stopping.wait(seconds)

    def close(self) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(self._stop_within)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._has_news or self.is_stopping)
                if not self._has_news:
                    return
            if self._debounce:
                self._stopping.wait(self._debounce)
            with self._changed:
                self._has_news = False
            try:
                self._work()
            except Exception:
                log.exception("not done", action="background_failed", thread=self._name)
