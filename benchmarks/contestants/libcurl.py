"""The ceiling: how fast a bare libcurl loop posts to this receiver on this machine."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contestants import Ready
from benchmarks.peers.bare_libcurl import CONNECTIONS, message_id
from benchmarks.processes import running, wait_for
from benchmarks.receiver import Receiver

START_WITHIN_SECONDS = 60.0


class BareLibcurl:
    name = "libcurl"
    title = "bare libcurl: no database, no signature"

    def __init__(self, receiver: Receiver, count: int, folder: Path) -> None:
        self.count = count
        self._receiver = receiver
        self._log = folder / "libcurl.log"

    @contextmanager
    def ready(self, run: str) -> Iterator[Ready]:
        warm_up = f"{run}-warm-up"
        urls = (self._receiver.url(warm_up, 0), self._receiver.url(run, 0))
        command = [*(sys.executable, "-m", "benchmarks.peers.bare_libcurl", *urls, str(self.count))]
        with running([command], {}, self._log) as pids:
            wait_for(
                lambda: self._receiver.count(warm_up) == CONNECTIONS,
                START_WITHIN_SECONDS,
                "libcurl's warm-up",
            )
            yield Ready(
                pids,
                release=lambda: _fire(*pids),
                accepted=lambda: dict.fromkeys(map(message_id, range(self.count))),
                is_settled=lambda: True,
            )


def _fire(pid: int) -> float:
    fired_at = time.monotonic()
    os.kill(pid, signal.SIGUSR1)
    return fired_at
