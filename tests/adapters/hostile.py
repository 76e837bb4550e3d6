"""A receiver that misbehaves on request: the last segment of the path says how.

Real sockets on loopback, one thread a connection. What waits, waits for `stop`, so that a
test ends when it is done and not when the receiver is.
"""

import contextlib
import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BOMB = gzip.compress(bytes(64 * 1024 * 1024), compresslevel=9)


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in. `connection` counts connections from 0."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Listens from construction to `close`; `requests` is all that came in, in order."""

    def __init__(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family, backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[Received] = []
        self._tls = tls
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="receiver")]
        self._connections: list[socket.socket] = []
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, behaviour: str, host: str = "127.0.0.1") -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{host}:{self.port}/{behaviour}"

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = len(self._connections)
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, number))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._converse(secured, number)
            else:
                self._converse(connection, number)

    def _converse(self, connection: socket.socket, number: int) -> None:
        with connection.makefile("rb") as stream:
            while request_line := stream.readline():
                method, target, _ = request_line.decode("ascii").split(" ", 2)
                headers = {}
                while (line := stream.readline().decode("latin-1").strip()) != "":
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", "0")))
                self.requests.append(Received(number, method, target, headers, body))
                path, _, _ = target.partition("?")
                BEHAVIOURS[path.rpartition("/")[2]](connection, self._stop)


def _ok(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(OK)


def _no_content(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def _slow(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3600\r\n\r\n")
    while not stop.wait(1.0):
        connection.sendall(b".")


def _slow_headers(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stop.wait(1.0):
        connection.sendall(b"X-Slow: 1\r\n")


def _endless_headers(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stop.is_set():
        connection.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def _endless_interim(connection: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n")


def _endless_trailers(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
    while not stop.is_set():
        connection.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def _huge(connection: socket.socket, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    while not stop.is_set():
        connection.sendall(b"x" * 65536)


def _full(connection: socket.socket, _stop: threading.Event) -> None:
    """Exactly as much as is read."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + b"x" * 16384)


def _bomb(connection: socket.socket, _stop: threading.Event) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n"
    connection.sendall(head.encode() + BOMB)


def _reset(connection: socket.socket, _stop: threading.Event) -> None:
    # Closing with a linger time of 0 sends RST in place of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


def _empty(_connection: socket.socket, _stop: threading.Event) -> None:
    raise ConnectionAbortedError


def _cut(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50)
    raise ConnectionAbortedError


def _interim_then_gone(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    raise ConnectionAbortedError


def _hang(_connection: socket.socket, stop: threading.Event) -> None:
    stop.wait()


def _not_http(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(b"-ERR unknown command\r\n" * 10)
    raise ConnectionAbortedError


def _redirect(connection: socket.socket, _stop: threading.Event) -> None:
    port = connection.getsockname()[1]
    location = f"Location: http://127.0.0.1:{port}/ok\r\n"
    connection.sendall(f"HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n".encode())


def _busy(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(
        b"HTTP/1.1 503 Service Unavailable\r\nRETRY-AFTER:  120 \r\nContent-Length: 0\r\n\r\n"
    )


def _cookie(connection: socket.socket, _stop: threading.Event) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    )


def _closing(connection: socket.socket, _stop: threading.Event) -> None:
    """Answers, promises to keep the connection, and closes it."""
    connection.sendall(OK)
    raise ConnectionAbortedError


BEHAVIOURS: dict[str, Callable[[socket.socket, threading.Event], None]] = {
    "ok": _ok,
    "no-content": _no_content,
    "slow": _slow,
    "slow-headers": _slow_headers,
    "endless-headers": _endless_headers,
    "endless-interim": _endless_interim,
    "endless-trailers": _endless_trailers,
    "huge": _huge,
    "full": _full,
    "bomb": _bomb,
    "reset": _reset,
    "empty": _empty,
    "cut": _cut,
    "interim-then-gone": _interim_then_gone,
    "hang": _hang,
    "not-http": _not_http,
    "redirect": _redirect,
    "busy": _busy,
    "cookie": _cookie,
    "closing": _closing,
}
