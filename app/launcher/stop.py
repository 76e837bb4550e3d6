"""When to stop: a signal, or the end of the `make` that started us."""

import os
import select
import signal
import socket
import time
from pathlib import Path
from types import FrameType
from typing import Self

MAKE_NAMES = {"make", "gmake", "gnumake"}
PARENT_POLL_SECONDS = 0.5


class StopRequested(Exception):
    """Somebody wants everything stopped."""


class StopRequest:
    """Watches for the wish to stop. Every wait of the launcher goes through `pause`.

    Handlers only take a note, so a second signal can't disturb a stop that is under way.
    """

    def __enter__(self) -> Self:
        self._requested = False
        self._parent = _Make.of_this_process()
        # A signal writes a byte here, and so ends the select() in `pause` at once.
        self._awake, self._waker = socket.socketpair()
        self._awake.setblocking(False)
        self._waker.setblocking(False)
        self._old_wakeup = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._old_handlers = {
            number: signal.signal(number, self._note)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            # nohup's wish: it survives the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        self._awake.close()
        self._waker.close()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True

    def pause(self, seconds: float) -> None:
        """Sleeps. Raises StopRequested at once when, or within 0.5 s after, a stop is wanted."""
        deadline = time.monotonic() + seconds
        while True:
            if self._requested or (self._parent and self._parent.wants_to_stop()):
                raise StopRequested
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if select.select([self._awake], [], [], min(left, PARENT_POLL_SECONDS))[0]:
                self._awake.recv(4096)


class _Make:
    """The `make` that is our parent.

    A SIGTERM it passes on. A SIGINT to it alone (from a terminal we get it as well) it does not:
    it sets the signal back to its default and waits for us. That can be seen from outside.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @classmethod
    def of_this_process(cls) -> "_Make | None":
        make = cls(os.getppid())
        try:
            name = Path(f"/proc/{make._pid}/comm").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        # One that never caught SIGINT (started in the background by a script) tells us nothing.
        return make if name in MAKE_NAMES and make._catches_interrupt() else None

    def wants_to_stop(self) -> bool:
        return os.getppid() != self._pid or not self._catches_interrupt()

    def _catches_interrupt(self) -> bool:
        try:
            status = Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8")
        except OSError:
            return False
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (signal.SIGINT - 1) & 1)
