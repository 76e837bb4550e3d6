"""Processes whose parent died: on Linux they come to us, and none outlives the launcher."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def adopt() -> None:
    """From now on, a descendant whose parent dies becomes our child, rather than init's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """The pids of our children, adopted ones included; empty where there is no /proc."""
    try:
        listing = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return set()
    return {int(pid) for pid in listing.split()}


def reap(except_for: int) -> None:
    """Lets go of adopted children that have ended; `except_for` somebody else waits for."""
    for pid in children() - {except_for}:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def end_all(grace_seconds: float) -> None:
    """Ends every child: SIGTERM, and SIGKILL after the grace."""
    told: set[int] = set()
    deadline = time.monotonic() + grace_seconds
    while alive := children():
        reap(except_for=0)
        if time.monotonic() > deadline:
            _signal(alive, signal.SIGKILL)
        # Once each: whose parent dies becomes our child, and is told in a later round.
        _signal(alive - told, signal.SIGTERM)
        told |= alive
        time.sleep(0.05)  # to wait for a child would miss those that become ours meanwhile


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
