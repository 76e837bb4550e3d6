"""A Redis client whose every question, connecting included, is over within its budget.

redis-py's time-outs are for each read: a server that sends a few bytes at a time would hold its
caller for as long as it likes.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from app.adapters.quick_redis import quick_options

_due = threading.local()


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """Questions in here raise redis.TimeoutError when they are not over in time."""
    _due.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _due.at = None


class _Socket:
    """A socket that waits no longer than until its thread's budget is spent."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        self._hurry()
        data: bytes = self._sock.recv(size)
        return data

    def sendall(self, data: bytes) -> None:
        self._hurry()
        self._sock.sendall(data)

    def _hurry(self) -> None:
        due = getattr(_due, "at", None)
        # A time-out of 0 asks whether something is there, and waits for nothing.
        if due is None or not self._sock.gettimeout():
            return
        left = due - time.monotonic()
        if left <= 0:
            raise TimeoutError("the budget is spent")
        self._sock.settimeout(left)


class _Plain(redis.Connection):
    def _connect(self) -> Any:
        return _Socket(super()._connect())  # type: ignore[no-untyped-call]


class _Encrypted(redis.SSLConnection):
    def _connect(self) -> Any:
        return _Socket(super()._connect())  # type: ignore[no-untyped-call]


def budgeted_client(url: str) -> "redis.Redis":
    """Thread-safe. Answers are bytes."""
    encrypted = url.startswith("rediss:")
    return redis.Redis.from_url(
        url, connection_class=_Encrypted if encrypted else _Plain, **quick_options()
    )
