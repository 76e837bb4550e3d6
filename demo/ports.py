"""Where the receiver listens: on loopback, at `DEMO_PORT`."""

import os

HOST = "127.0.0.1"
DEFAULT_PORT = 9900


class NoPort(ValueError):
    """`DEMO_PORT` is none."""


def receiver_port() -> int:
    """Raises NoPort."""
    given = os.environ.get("DEMO_PORT") or str(DEFAULT_PORT)
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 65535):
        raise NoPort(f"DEMO_PORT is {given!r}: a port is a number from 1 to 65535.")
    return int(given)


def receiver_url() -> str:
    return f"http://{HOST}:{receiver_port()}"
