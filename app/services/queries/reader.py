"""The way to an answer: the cache, or a load."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from app.adapters.asking import Asking, Statement
from app.adapters.cache.cache import Cache
from app.adapters.cache.entry import Answer, Loaded
from app.adapters.cipher import Cipher
from app.adapters.database import Database
from app.errors import NotFound
from app.services.queries.asked import Asked
from app.services.queries.plans import SLOW_MS, Plan, Plans, Statements
from app.services.queries.query import Arguments, AtOnce, Query, Reading, Seen
from app.services.queries.registry import ALL
from app.services.queries.statistics import QueryStatistics, Tally


class Reader:
    """Answers declared queries. Thread-safe."""

    def __init__(
        self,
        cache: Cache,
        database: Database,
        cipher: Cipher,
        schedule: Mapping[str, Mapping[str, Any]],
        asked: Asked,
    ) -> None:
        self._cache = cache
        self._database = database
        self._cipher = cipher
        self._schedule = schedule
        self._asked = asked
        self._tallies = {name: Tally() for name in ALL}
        self._plans = Plans()
        self._statements = Statements(database.engine)

    def get(self, query: Query, arguments: Arguments, *, fresh: bool = False) -> Answer:
        """The answer, as JSON in bytes. Who wants it `fresh` has it read now.

        Raises NotFound where there is no such thing, and whatever the load raises.
        """
        tally = self._tallies[query.name]
        key = query.key(arguments)
        if query.priority is not None:
            self._asked.note(key)
        try:
            answer = self._cache.get(
                key,
                query.reads,
                lambda: self._load(query, arguments, tally),
                ttl=query.ttl,
                fresh=fresh,
                shared=query.is_shared(arguments),
            )
        except Exception:
            tally.failed()
            raise
        tally.by_source[answer.source] += 1
        if answer.entry.negative:
            raise NotFound(answer.entry.body.decode())
        return answer

    def at_hand(self, query: Query, key: str) -> Answer | None:
        """What this process has under a key of this query and knows to be right and young."""
        answer = self._cache.at_hand(key)
        if answer is None or answer.entry.negative:
            return None
        if query.priority is not None:
            self._asked.note(key)
        self._tallies[query.name].by_source[answer.source] += 1
        return answer

    def load(self, query: Query, arguments: Arguments) -> Loaded:
        """The answer from the database, past the cache."""
        return self._load(query, arguments, self._tallies[query.name])

    def is_refuted(self, query: Query, answer: Answer) -> bool:
        """Whether something was written since that the answer does not have in it."""
        return self._cache.is_refuted(answer, query.reads)

    def statistics(self) -> list[QueryStatistics]:
        """Of each query that was asked."""
        told = [tally.told(name) for name, tally in self._tallies.items()]
        return [one for one in told if one.calls]

    def plans(self) -> list[Plan]:
        """Of loads that took more than SLOW_MS, the latest first."""
        return self._plans.told()

    def _load(self, query: Query, arguments: Arguments, tally: Tally) -> Loaded:
        load = query.load
        if isinstance(load, AtOnce):
            read = load.read
            return self._database.ask(lambda ask: self._ask(query, read, ask, arguments, tally))
        began = time.perf_counter()
        with self._statements.watching() as watch, self._database.view() as view:
            try:
                value = load(
                    Reading(view.session, view.now, self._cipher, self._schedule), arguments
                )
            except NotFound as error:
                value = error
            seen = Seen(value, view.snapshot, view.now)
            connection = view.session.connection()
            return self._loaded(
                query,
                seen,
                tally,
                began,
                watch.statements,
                lambda text, values: connection.exec_driver_sql(text, values).all(),
            )

    def _ask(
        self,
        query: Query,
        read: Callable[[Asking, Arguments], Seen],
        ask: Asking,
        arguments: Arguments,
        tally: Tally,
    ) -> Loaded:
        began = time.perf_counter()
        seen = read(ask, arguments)
        return self._loaded(query, seen, tally, began, ask.asked, ask)

    def _loaded(
        self,
        query: Query,
        seen: Seen,
        tally: Tally,
        began: float,
        statements: Sequence[Statement],
        ask: Callable[[str, Any], Sequence[Any]],
    ) -> Loaded:
        if isinstance(seen.value, NotFound):
            return Loaded(seen.value.detail.encode(), seen.snapshot, seen.now, negative=True)
        body = orjson.dumps(seen.value)
        took = (time.perf_counter() - began) * 1000
        tally.loaded(took, _rows_of(seen.value), len(body))
        if took > SLOW_MS and self._plans.wants(query.name):
            self._plans.explain(query.name, seen.now, took, statements, ask)
        return Loaded(body, seen.snapshot, seen.now)


def _rows_of(value: Any) -> int:
    return len(value["items"]) if isinstance(value, dict) and "items" in value else 1
