"""Where the demo may live: in a DATA_DIR of its own, with servers of its own, and nowhere else.

It makes users, raises alarms and takes a webhook's part; nobody wants that in what they rely on.
"""

import socket
from collections.abc import Mapping
from pathlib import Path

from app.settings import LaunchSettings
from demo.ports import HOST

DATA_DIR = Path(".data/demo")
MARK = "demo-only"
MARK_TEXT = "What is here was made by `make demo`; it may be deleted while that is stopped.\n"
# Any of these says that Tocsin has been here.
TRACES = ("postgres", "secrets", "admin-password", "run", "logs")


class NotHere(Exception):
    """The demo may not run here. The text says why, and what to do."""


def settle(launch: LaunchSettings, port: int) -> Mapping[str, str]:
    """Marks DATA_DIR as the demo's, and answers what its environment must have.

    Raises NotHere for servers that were given, for data that is not the demo's, and for a port that
    is taken.
    """
    for name, value in (
        ("DATABASE_URL", launch.database_url),
        ("REDIS_URL", launch.redis_url),
        ("CACHE_REDIS_URL", launch.cache_redis_url),
    ):
        if value:
            raise NotHere(
                f"{name} is set (in the environment or in .env), and the demo is not for servers of"
                f" your own: it would fill them with made-up alerts. Unset it: make demo {name}="
            )
    given = "data_dir" in launch.model_fields_set
    data_dir = (launch.data_dir if given else DATA_DIR).absolute()
    mark = data_dir / MARK
    if not mark.exists() and any((data_dir / trace).exists() for trace in TRACES):
        raise NotHere(
            f"{data_dir} holds a Tocsin that is not the demo's, which would fill it with made-up"
            " alerts. Give the demo a folder of its own, or none: make demo DATA_DIR=.data/demo"
        )
    if port in (launch.port, launch.flower_port):
        raise NotHere(f"DEMO_PORT is {port}, as is PORT or FLOWER_PORT. Give each its own.")
    _require_free(port)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.write_text(MARK_TEXT, encoding="utf-8")
    return {
        "DATA_DIR": str(data_dir),
        # Its webhooks are on loopback.
        "EGRESS_ALLOW": "127.0.0.0/8,::1/128",
        # Whoever is called by the real one must not hear that all is well from this one.
        "HEARTBEAT_URL": "",
    }


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # As the receiver does: connections that are still closing don't matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise NotHere(
                f"Can't listen on {HOST} port {port}, for the demo's receiver: {error.strerror}."
                f" Stop what uses it, or choose another: make demo DEMO_PORT={port + 1}"
            ) from None
