"""A Lua script in a Redis, as every request may ask it: by the shortest way.

redis-py's client costs several times what the question itself does: a pool under a lock, a look at
the socket, retries, figures for an observer. Its connections are used here directly. Each serves
one question at a time, and as many are kept as were ever in use at once.
"""

import hashlib
from collections import deque
from typing import Any

import redis
from redis.exceptions import NoScriptError

from app.adapters.quick_redis import quick_options


class RedisScript:
    """Thread-safe. Make it after the fork. Its errors are redis-py's."""

    def __init__(self, url: str, script: str, keys: int) -> None:
        """The script's first `keys` values are keys. It answers with one text."""
        self._pool = redis.ConnectionPool.from_url(url, **quick_options())
        self._idle: deque[Any] = deque()
        self._script = script.encode()
        sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest().encode()
        self._by_sha = _text(b"EVALSHA") + _text(sha)
        self._by_text = _text(b"EVAL") + _text(self._script)
        self._keys = keys

    def __call__(self, *values: bytes) -> bytes:
        try:
            # The latest that was used: of many that a burst has left, the others cost nothing.
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.make_connection()
        try:
            return self._ask(connection, values)
        finally:
            self._idle.append(connection)

    def _ask(self, connection: Any, values: tuple[bytes, ...]) -> bytes:
        given = _text(b"%d" % self._keys) + b"".join(map(_text, values))
        head = b"*%d\r\n" % (3 + len(values))
        was_connected = connection.is_connected
        try:
            return _exchange(connection, head + self._by_sha + given)
        except NoScriptError:
            return _exchange(connection, head + self._by_text + given)
        except redis.ConnectionError:
            # The server had gone since, and perhaps is back.
            if not was_connected:
                raise
            return self._ask(connection, values)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().disconnect()


def _text(value: bytes) -> bytes:
    """A bulk string of Redis's protocol."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _exchange(connection: Any, command: bytes) -> bytes:
    # Connects where it is not. After any failure it is not: no answer is read by the wrong one.
    connection.send_packed_command([command], check_health=False)
    answer: bytes = connection.read_response()
    return answer
