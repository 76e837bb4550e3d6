"""How long a claim takes, on queues that differ in what else has gathered."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from app.adapters.database import Database
from app.services.claims import claim
from benchmarks import fill
from benchmarks.backlog_report import Claims
from benchmarks.command import say
from benchmarks.postgres import Connection, connect

ROOM = 500
WARM_UP = 10
SHOWN_EVERY = 10
# As a worker has it.
POOL_MAX = 5


class Queue:
    """A database's queue. With `fresh_for` it gets ROOM rows for these webhooks before a claim."""

    def __init__(
        self, name: str, database: Database, aside: Connection, fresh_for: Sequence[int] = ()
    ) -> None:
        self.name = name
        self.ms: list[float] = []
        self.rows: list[int] = []
        self._database = database
        self._aside = aside
        self._fresh_for = fresh_for
        self._cursor = 0

    def claim(self) -> None:
        """Time one, and take what it claimed out of the queue, as a completion would."""
        if self._fresh_for:
            for _owed in fill.owe(self._aside, self._fresh_for, ROOM):
                pass
        began_at = time.perf_counter()
        with self._database.session() as session:
            claims, _moment = claim(session, ROOM, self._cursor)
        self.ms.append(1000 * (time.perf_counter() - began_at))
        self.rows.append(len(claims))
        if claims:
            self._cursor = claims[-1].webhook_id
        self._aside.execute(
            "DELETE FROM pggit.alert_delivery_queue WHERE id = ANY(%s)",
            [[one.id for one in claims]],
        )

    def figures(self) -> Claims:
        return Claims(self.name, self.ms[WARM_UP:], ROOM, self.rows[WARM_UP:])


@contextmanager
def queue(name: str, database_url: str, fresh_for: Sequence[int] = ()) -> Iterator[Queue]:
    database = Database(database_url, pool_min=POOL_MAX, pool_max=POOL_MAX)
    try:
        with connect(database_url) as aside:
            yield Queue(name, database, aside, fresh_for)
    finally:
        database.close()


def in_turns(queues: Sequence[Queue], claims: int) -> None:
    """So many claims on each, after the first ones that do not count."""
    for done in range(1, WARM_UP + claims + 1):
        for one in queues:
            one.claim()
        if done % SHOWN_EVERY == 0:
            say(f"backlog, {done} claims on each")
