"""gunicorn's threaded worker, whose threads wait a moment for what their client asks next.

gunicorn gives a connection back to its main loop after every answer, and that gives it to a thread
again with the next request: three changes of threads, and as many quarrels over Python's lock, for
each request of a client who asks one thing after another.
"""

import select
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

WAIT_MS = 50


class Worker(ThreadWorker):  # type: ignore[misc]
    """A thread stays with its connection while there are twice as many threads as connections, so
    that nobody waits for a thread who would not have to."""

    def handle(self, conn: Any) -> Any:
        """Serve requests of a connection; what of it gunicorn is to do next."""
        while True:
            what_next = super().handle(conn)
            if what_next is not True or not self._may_stay() or not _asks_soon(conn):
                return what_next

    def _may_stay(self) -> bool:
        return bool(self.alive and 2 * self.nr_conns <= self.cfg.threads)


def _asks_soon(conn: Any) -> bool:
    """Whether the next request is there, or has begun to come in."""
    if conn.parser.unreader.buf.getvalue():
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return len(poll.poll(WAIT_MS)) > 0
