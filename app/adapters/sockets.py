"""The WebSockets of one process, all served by one thread.

A socket that was taken over from the web server costs no thread: one loop waits for all of them,
reads what little they send, and sends what is broadcast. It never blocks. A reader that is slower
than the stream has a bounded queue of its own; a message is the same bytes for all.
"""

import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

import structlog
from wsproto import WSConnection
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from app.domain.live import Frame
from app.domain.outbox import Outbox

log = structlog.get_logger(__name__)

READ_BYTES = 4096
MAX_MESSAGE_BYTES = 4096
# A slow reader's messages wait with us, where they are bounded and dropped, not in the kernel.
SEND_BUFFER_BYTES = 128 * 1024
PING_EVERY_SECONDS = 25.0
SILENT_AFTER_SECONDS = 60.0
TICK_SECONDS = 1.0
MESSAGES_ALLOWED, MESSAGES_WINDOW_SECONDS = 30, 10.0
# Messages that one may still need who comes in while they are on their way.
REMEMBERED = 1024
CLOSING_LINGER_SECONDS = 2.0
PING_FRAME = b"\x89\x00"

POLICY_VIOLATION, TOO_BIG, UNACCEPTABLE = 1008, 1009, 1003


class Reader:
    """One socket and what we know of it. `after` is the number of the last message that is no news
    to it, `topics` the bits that it asked for, `owner` whatever its maker knows it by.
    """

    __slots__ = (
        "after",
        "expires_at",
        "heard_at",
        "is_closing",
        "linger_until",
        "messages",
        "outbox",
        "owner",
        "parts",
        "pinged_at",
        "protocol",
        "rest",
        "sock",
        "topics",
        "window_from",
    )

    def __init__(
        self,
        sock: socket.socket,
        protocol: WSConnection | Connection,
        owner: Any,
        topics: int,
        after: int,
        expires_at: float | None,
    ) -> None:
        self.sock = sock
        self.protocol = protocol
        self.owner = owner
        self.topics = topics
        self.after = after
        self.expires_at = expires_at
        self.outbox = Outbox()
        self.rest = memoryview(b"")
        self.parts: list[str] = []
        self.is_closing = False
        self.linger_until = 0.0
        self.heard_at = self.pinged_at = self.window_from = 0.0
        self.messages = 0


class Audience(Protocol):
    """What the loop asks of whoever owns the sockets. Called in the loop's thread: be quick."""

    def heard(self, reader: Reader, text: str) -> bytes:
        """The frame that answers a message."""
        ...

    def dropped_frame(self, count: int) -> bytes:
        """The frame that tells a reader how many messages it lost."""
        ...

    def gone(self, reader: Reader) -> None:
        """It is closed."""
        ...


class SocketLoop:
    """Any thread may call; all else happens in the loop's own."""

    def __init__(self, audience: Audience, monotonic: Callable[[], float]) -> None:
        self._audience = audience
        self._monotonic = monotonic
        self._selector = selectors.DefaultSelector()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, None)
        self._orders: deque[Callable[[], None]] = deque()
        self._readers: dict[int, Reader] = {}
        self._remembered: deque[Frame] = deque(maxlen=REMEMBERED)
        self._closed_with: tuple[int, str] | None = None
        self._next_tick = 0.0
        self._thread = threading.Thread(target=self._run, name="sockets", daemon=True)
        self._thread.start()

    # From any thread

    def attach(self, reader: Reader, first: bytes) -> None:
        """Serve this socket from now on; `first`, whole frames, goes out before anything else."""
        self._order(lambda: self._attach(reader, first))

    def broadcast(self, frames: Sequence[Frame]) -> None:
        """Send numbered messages to all who want them, each the same bytes."""
        self._order(lambda: self._broadcast(frames))

    def tell_all(self, frame: Frame) -> None:
        """Send something to everybody that is no part of the sequence."""
        self._order(lambda: self._tell(self._readers.values(), frame))

    def close(self, readers: Collection[Reader], code: int, reason: str) -> None:
        self._order(lambda: self._close_all(readers, code, reason))

    def readers(self) -> list[Reader]:
        """Those that are there now."""
        return list(self._readers.values())

    def restart(self, code: int, reason: str) -> None:
        """Close all, and take no more; from a signal's handler, too: it waits for nothing."""
        self._closed_with = (code, reason)
        self.close(self._readers.values(), code, reason)

    def join(self, seconds: float) -> None:
        """After `restart`: wait until all have been told, or for so long."""
        self._thread.join(seconds)

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        os.eventfd_write(self._wake_fd, 1)

    # In the loop

    def _run(self) -> None:
        while self._closed_with is None or self._orders or self._readers:
            try:
                self._turn()
            except Exception:
                log.exception("the sockets stumbled", action="sockets_failed")

    def _turn(self) -> None:
        for key, events in self._selector.select(TICK_SECONDS):
            if key.data is None:
                os.eventfd_read(self._wake_fd)
                continue
            try:
                self._serve(key.data, events)
            except Exception:
                # Whatever it was, the others go on.
                log.exception("a socket failed", action="socket_failed")
                self._drop(key.data)
        while self._orders:
            self._orders.popleft()()
        now = self._monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self._tick(now)

    def _serve(self, reader: Reader, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._read(reader)
        if events & selectors.EVENT_WRITE and reader.sock.fileno() >= 0:
            reader.heard_at = self._monotonic()  # it reads, so it lives
            self._flush(reader)

    def _attach(self, reader: Reader, first: bytes) -> None:
        now = self._monotonic()
        reader.heard_at = reader.pinged_at = reader.window_from = now
        self._readers[reader.sock.fileno()] = reader
        self._selector.register(reader.sock, selectors.EVENT_READ, reader)
        missed = [one for one in self._remembered if one.seq > reader.after]
        if missed and 0 < reader.after < missed[0].seq - 1:
            # It took so long to come in that some have been forgotten.
            reader.outbox.dropped += missed[0].seq - reader.after - 1
        reader.rest = memoryview(first)
        self._queue(reader, missed)
        if missed:
            reader.after = missed[-1].seq
        if self._closed_with is not None:
            self._close(reader, *self._closed_with)

    def _broadcast(self, frames: Sequence[Frame]) -> None:
        self._remembered.extend(frames)
        first, last = frames[0].seq, frames[-1].seq
        joined: dict[int, bytes] = {}
        for reader in list(self._readers.values()):
            if reader.is_closing:
                continue
            if reader.rest or reader.outbox or reader.after >= first:
                self._queue(reader, frames)
            else:
                wire = joined.get(reader.topics)
                if wire is None:
                    wire = b"".join(one.wire for one in frames if one.bit & reader.topics)
                    joined[reader.topics] = wire
                if wire:
                    self._send(reader, wire)
            reader.after = max(reader.after, last)

    def _queue(self, reader: Reader, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if frame.seq > reader.after and frame.bit & reader.topics:
                reader.outbox.put(frame.wire)
        self._flush(reader)

    def _tell(self, readers: Iterable[Reader], frame: Frame) -> None:
        for reader in list(readers):
            if frame.bit & reader.topics and not reader.is_closing:
                self._reply(reader, frame.wire)

    def _flush(self, reader: Reader) -> None:
        """Send what waits, as far as the reader takes it."""
        while True:
            if not reader.rest:
                if reader.outbox.dropped:
                    frame = self._audience.dropped_frame(reader.outbox.take_dropped())
                    reader.rest = memoryview(frame)
                elif reader.outbox:
                    reader.rest = memoryview(reader.outbox.take())
                else:
                    break
            if not self._write(reader):
                return
        if reader.is_closing:
            self._half_close(reader)
        else:
            self._selector.modify(reader.sock, selectors.EVENT_READ, reader)

    def _send(self, reader: Reader, wire: bytes) -> None:
        reader.rest = memoryview(wire)
        self._write(reader)

    def _write(self, reader: Reader) -> bool:
        """Send the rest of what was begun; whether all of it went out."""
        try:
            sent = reader.sock.send(reader.rest)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(reader)
            return False
        reader.rest = reader.rest[sent:]
        if reader.rest:
            self._selector.modify(reader.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, reader)
            return False
        return True

    def _read(self, reader: Reader) -> None:
        try:
            data = reader.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(reader)
            return
        reader.heard_at = self._monotonic()
        try:
            reader.protocol.receive_data(data)
            for event in reader.protocol.events():
                if reader.is_closing and not isinstance(event, CloseConnection):
                    continue
                self._handle(reader, event)
        except (RemoteProtocolError, LocalProtocolError):
            self._close(reader, 1002, "this is not the WebSocket protocol")

    def _handle(self, reader: Reader, event: object) -> None:
        if isinstance(event, CloseConnection):
            if not reader.is_closing:
                self._reply(reader, reader.protocol.send(event.response()))
            self._drop(reader)
        elif isinstance(event, Ping):
            if self._may_speak(reader):
                self._reply(reader, reader.protocol.send(event.response()))
        elif isinstance(event, TextMessage):
            self._hear(reader, event)
        elif isinstance(event, BytesMessage):
            self._close(reader, UNACCEPTABLE, "text messages only")

    def _hear(self, reader: Reader, event: TextMessage) -> None:
        reader.parts.append(event.data)
        if sum(map(len, reader.parts)) > MAX_MESSAGE_BYTES:
            self._close(reader, TOO_BIG, f"a message has at most {MAX_MESSAGE_BYTES} bytes")
        elif event.message_finished and self._may_speak(reader):
            text = "".join(reader.parts)
            reader.parts.clear()
            self._reply(reader, self._audience.heard(reader, text))

    def _may_speak(self, reader: Reader) -> bool:
        """Count a message; who says too much is sent away."""
        now = reader.heard_at
        if now - reader.window_from > MESSAGES_WINDOW_SECONDS:
            reader.window_from, reader.messages = now, 0
        reader.messages += 1
        if reader.messages > MESSAGES_ALLOWED:
            self._close(reader, POLICY_VIOLATION, "too many messages")
            return False
        return True

    def _reply(self, reader: Reader, wire: bytes) -> None:
        reader.outbox.put(wire)
        self._flush(reader)

    def _tick(self, now: float) -> None:
        for reader in list(self._readers.values()):
            if reader.is_closing:
                if now >= reader.linger_until:
                    self._drop(reader)
            elif reader.expires_at is not None and now >= reader.expires_at:
                self._close(reader, POLICY_VIOLATION, "this token has expired")
            elif now - reader.heard_at > SILENT_AFTER_SECONDS:
                self._drop(reader)
            elif now - reader.pinged_at > PING_EVERY_SECONDS:
                reader.pinged_at = now
                # Who has something waiting shows by reading it that he lives.
                if not (reader.rest or reader.outbox):
                    self._send(reader, PING_FRAME)

    def _close_all(self, readers: Iterable[Reader], code: int, reason: str) -> None:
        for reader in list(readers):
            self._close(reader, code, reason)

    def _close(self, reader: Reader, code: int, reason: str) -> None:
        """Say why, and let go; a reader that does not read is not waited for."""
        if reader.is_closing or reader.sock.fileno() < 0:
            return
        reader.is_closing = True
        reader.linger_until = self._monotonic() + CLOSING_LINGER_SECONDS
        reader.outbox = Outbox()
        try:
            wire = reader.protocol.send(CloseConnection(code, reason))
        except LocalProtocolError:
            self._drop(reader)
            return
        self._reply(reader, wire)

    def _half_close(self, reader: Reader) -> None:
        """All is said. The other side closes; what it still sends must not make the kernel reset
        the connection, and so lose the reason on its way."""
        try:
            reader.sock.shutdown(socket.SHUT_WR)
            self._selector.modify(reader.sock, selectors.EVENT_READ, reader)
        except OSError:
            self._drop(reader)

    def _drop(self, reader: Reader) -> None:
        fd = reader.sock.fileno()
        if fd < 0:
            return
        self._selector.unregister(reader.sock)
        del self._readers[fd]
        reader.sock.close()
        self._audience.gone(reader)


def take_over(given: socket.socket) -> socket.socket:
    """A connection's socket for ourselves. The web server, which goes on to close the one that it
    has, finds in its place one whose other end is closed already.
    """
    taken = socket.fromfd(given.fileno(), given.family, given.type)
    here, there = socket.socketpair()
    os.dup2(here.fileno(), given.fileno(), inheritable=False)
    here.close()
    there.close()
    taken.setblocking(False)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return taken
