"""Readers of a stream, in a process of their own: they count marks, and do nothing else.

    python -m benchmarks.stream_readers URL READERS STALLED BURST

Opens READERS sockets, and STALLED ones that never read, then prints `ready`. Whenever all have got
another BURST messages it prints the monotonic time; at the end of stdin it ends. Marks are counted
in the bytes, so that a reader costs as little as can be, the same for whoever is measured. No
frame's head has one: its second byte is 0x7e here, and its length ends in neither contestant so.
"""

import os
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit

MARK = b"^"
READ_BYTES = 256 * 1024
CONNECT_TIMEOUT_SECONDS = 60
STALLED_BUFFER_BYTES = 4096


def open_socket(url: str, *, receive_buffer: int | None = None) -> socket.socket:
    """A WebSocket whose handshake is done."""
    parts = urlsplit(url)
    made = socket.socket()
    if receive_buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(CONNECT_TIMEOUT_SECONDS)
    made.connect((str(parts.hostname), parts.port))
    target = f"{parts.path or '/'}?{parts.query}"
    made.sendall(
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += made.recv(1) or b"\r\n\r\n"
    if not answer.startswith(b"HTTP/1.1 101"):
        raise SystemExit(f"refused: {answer[:200]!r}")
    return made


def main(url: str, readers: int, stalled: int, burst: int) -> None:
    # Kept, and never read.
    _stuck = [open_socket(url, receive_buffer=STALLED_BUFFER_BYTES) for _socket in range(stalled)]
    selector = selectors.EpollSelector()
    counts: dict[int, int] = {}
    for _socket in range(readers):
        opened = open_socket(url)
        opened.setblocking(False)
        counts[opened.fileno()] = 0
        selector.register(opened, selectors.EVENT_READ)
    selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
    say("ready")
    goal, behind = burst, readers
    while True:
        for key, _events in selector.select():
            if key.fd == sys.stdin.fileno():
                if not os.read(key.fd, 100):
                    return
                continue
            data = key.fileobj.recv(READ_BYTES)  # type: ignore[union-attr]
            if not data:
                raise SystemExit("a reader was closed")
            before = counts[key.fd]
            counts[key.fd] = after = before + data.count(MARK)
            behind -= before < goal <= after
        while not behind:
            say(f"{time.monotonic()}")
            goal += burst
            behind = sum(count < goal for count in counts.values())


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
