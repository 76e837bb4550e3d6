"""What was asked for lately, in this process: only that is worth keeping warm."""

from collections.abc import Callable

MAX_KEYS = 5_000


class Asked:
    """Thread-safe. Bounded: when it is full, the half that was not asked for longest goes."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` is in seconds since 1970, by PostgreSQL's clock."""
        self._now = now
        self._at: dict[str, float] = {}

    def note(self, key: str) -> None:
        """Called by every request: one entry in a dictionary."""
        self._at[key] = self._now()
        if len(self._at) > MAX_KEYS:
            latest = sorted(self._at.copy().items(), key=lambda item: item[1])[MAX_KEYS // 2 :]
            self._at = dict(latest)

    def since(self, since: float) -> dict[str, float]:
        """Keys that were asked for since then, with when."""
        return {key: at for key, at in self._at.copy().items() if at >= since}
