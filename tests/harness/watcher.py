"""A client of the stream: what it was told, in order."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import websocket

TIMEOUT_SECONDS = 40
Message = dict[str, Any]


def stream_url(base_url: str, **query: str | int) -> str:
    asked = f"?{urlencode(query)}" if query else ""
    return f"{base_url.replace('http', 'ws', 1)}/api/v1/ws/dashboard{asked}"


class Closed(Exception):
    """The server closed the socket: with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Watcher:
    """One socket. Every wait ends after a time-out at the latest."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.connection = connection
        self.told: list[Message] = []

    def read(self) -> Message:
        """The next message. Raises Closed."""
        code, data = self.connection.recv_data()
        if code == websocket.ABNF.OPCODE_CLOSE:
            raise Closed(int.from_bytes(data[:2], "big"), data[2:].decode())
        message: Message = json.loads(data)
        assert set(message) == {"type", "seq", "timestamp", "data"}, message
        self.told.append(message)
        return message

    def wait_for(
        self, message_type: str, matches: Callable[[Any], bool] = lambda _data: True
    ) -> Message:
        """The next message of this type whose data match."""
        return self.wait_until(
            lambda message: message["type"] == message_type and matches(message["data"])
        )

    def wait_until(self, matches: Callable[[Message], bool]) -> Message:
        """The next message that matches."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not matches(message := self.read()):
            # Some message comes every second, so reading alone would go on for ever.
            assert time.monotonic() < deadline, self.told[-5:]
        return message

    def until_closed(self) -> Closed:
        """How the server ends it."""
        while True:
            try:
                self.read()
            except Closed as closed:
                return closed

    def say(self, message: Mapping[str, Any] | str) -> None:
        self.connection.send(message if isinstance(message, str) else json.dumps(message))


@contextmanager
def watching(
    base_url: str,
    *,
    origin: str | None = None,
    header: Mapping[str, str] | None = None,
    **query: str | int,
) -> Iterator[Watcher]:
    """Raises websocket.WebSocketBadStatusException where the handshake is refused."""
    connection = websocket.create_connection(
        stream_url(base_url, **query),
        timeout=TIMEOUT_SECONDS,
        header=dict(header or {}),
        **({"suppress_origin": True} if origin is None else {"origin": origin}),
    )
    try:
        yield Watcher(connection)
    finally:
        connection.shutdown()  # type: ignore[no-untyped-call]
