"""Redis servers that are gone, frozen, or stopped for a while."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from app.adapters.embedded import free_port


def gone_url() -> str:
    """Nobody listens there: the connection is refused."""
    return f"redis://127.0.0.1:{free_port()}/0"


@contextmanager
def frozen_url() -> Iterator[str]:
    """The kernel takes connections, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """A real server stands still, with its connections open, and goes on afterwards."""
    with Redis.from_url(url) as redis:
        pid = int(redis.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
