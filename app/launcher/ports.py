"""The ports that people know must be free before anything is started."""

import socket
import time

from app.launcher.errors import LaunchError
from app.launcher.stop import StopRequest
from app.settings import LaunchSettings

EARLIER_RUN_STOPS_WITHIN_SECONDS = 20.0


def require_free(launch: LaunchSettings, stop: StopRequest, *, after_crash: bool) -> None:
    """Raises LaunchError for a PORT or FLOWER_PORT that can't be listened on.

    After a crash the workers of the earlier run may still be at their last requests: then the
    ports get up to 20 s.
    """
    if launch.port == launch.flower_port:
        raise LaunchError(f"PORT and FLOWER_PORT are both {launch.port}. Give each its own.")
    patience = EARLIER_RUN_STOPS_WITHIN_SECONDS if after_crash else 0.0
    deadline = time.monotonic() + patience
    for name, host, port in (
        ("PORT", launch.host, launch.port),
        ("FLOWER_PORT", "127.0.0.1", launch.flower_port),
    ):
        while (fault := _listening_fails(host, port)) is not None:
            if time.monotonic() >= deadline:
                raise LaunchError(
                    f"Can't listen on {host} port {port}: {fault}. Stop what uses it, or choose "
                    f"another: make run {name}={port + 1}"
                )
            stop.pause(0.2)


def _listening_fails(host: str, port: int) -> str | None:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in addresses:
            with socket.socket(family, kind, protocol) as probe:
                # As gunicorn does: connections that are still closing don't matter.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None
