"""What the caches of all processes counted, told by each of them every few seconds."""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson
import structlog

from app.adapters.cache.board import Board
from app.adapters.cache.cache import Cache
from app.adapters.cache.stats import LevelStats
from app.adapters.clock import Clock
from app.services.queries.asked import Asked
from app.services.queries.reader import Reader
from app.services.queries.statistics import slowest

log = structlog.get_logger(__name__)

TELL_EVERY_SECONDS = 2.0
SLOWEST = 10
STOP_WITHIN_SECONDS = 2.0
COUNTS = ("loads", "load_errors", "stale_served", "flights_joined", "renewals")

Report = dict[str, Any]


class Reporter:
    """Tells what this process counted, and what it was asked for. `kind` is web or worker."""

    def __init__(
        self, kind: str, cache: Cache, reader: Reader, asked: Asked, board: Board, clock: Clock
    ) -> None:
        self._kind = kind
        self._cache = cache
        self._reader = reader
        self._asked = asked
        self._board = board
        self._clock = clock
        self._started_at = clock.now()
        self.name = f"{kind}-{os.getpid()}@{socket.gethostname()}"
        self._told_until = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to tell, if that is not so yet: after any fork."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stopping.is_set():
                    self._thread = threading.Thread(
                        target=self._run, name="cache-reporter", daemon=True
                    )
                    self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_SECONDS)

    def report(self) -> Report:
        """Of this process, as of now."""
        stats = self._cache.stats()
        statistics = slowest(self._reader.statistics(), SLOWEST)
        plans = {plan.query: asdict(plan) for plan in self._reader.plans()}
        l1 = _level(stats.l1)
        l2 = _level(stats.l2) if stats.l2 is not None else None
        return {
            "name": self.name,
            "kind": self._kind,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "reported_at": self._clock.now(),
            "hit_rate": _whole_rate(l1, l2),
            "l1": l1,
            "l2": l2,
            **{name: getattr(stats, name) for name in COUNTS},
            "breakers": {
                "l2": _breaker(stats.l2.is_resting) if stats.l2 is not None else None,
                "database": _breaker(stats.database_is_resting),
            },
            "is_listening": stats.is_listening,
            "queries": [asdict(one) | {"plan": plans.get(one.name)} for one in statistics],
        }

    def all(self) -> tuple[list[Report], bool]:
        """Of all processes, this one's as of now, and whether the others could be asked."""
        mine = orjson.dumps(self.report())
        told = self._board.counters()
        # Mine as the others', so that all are read in one way.
        reports = [orjson.loads(one) for one in (mine, *(told or ()))]
        return list({one["name"]: one for one in reversed(reports)}.values()), told is not None

    def tell(self) -> bool:
        """Put up what there is to tell; False while Redis is away: then it is told later."""
        now = self._clock.now().timestamp()
        asked = self._asked.since(self._told_until)
        told = self._board.tell(self.name, orjson.dumps(self.report()), asked, now)
        if told:
            self._told_until = now
        return told

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tell()
            except Exception:
                log.exception("not told", action="cache_report_failed")
            self._stopping.wait(TELL_EVERY_SECONDS)


def together(reports: Sequence[Report]) -> Report:
    """The sums over the web processes, as one report without a name.

    Workers load what they warm and answer nobody: they would blur the hit rates. Items, bytes,
    evictions and expirations of L2 are its server's, so they are no sums.
    """
    web = [one for one in reports if one["kind"] == "web"]
    l1 = _sum_of([one["l1"] for one in web], sum)
    seconds = [one["l2"] for one in web if one["l2"] is not None]
    l2 = _sum_of(seconds, max) if seconds else None
    return {
        "hit_rate": _whole_rate(l1, l2),
        "l1": l1,
        "l2": l2,
        **{name: sum(one[name] for one in web) for name in COUNTS},
        "breakers": {
            part: _worst(one["breakers"][part] for one in web) for part in ("l2", "database")
        },
    }


def slowest_queries(reports: Sequence[Report], count: int = SLOWEST) -> list[dict[str, Any]]:
    """The queries whose loads take longest in any process, with all processes' counts.

    The mean is of all of them; the p95 is the highest of one; the plan is the latest.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        for one in report["queries"]:
            by_name.setdefault(one["name"], []).append(one)
    merged = [_merged(name, parts) for name, parts in by_name.items()]
    return sorted(merged, key=lambda one: one["p95_ms"], reverse=True)[:count]


def _merged(name: str, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = ("calls", "hits_l1", "hits_l2", "misses", "stale", "loads", "errors", "rows", "bytes")
    loads = sum(one["loads"] for one in parts)
    plans = [one["plan"] for one in parts if one["plan"] is not None]
    return {
        "name": name,
        **{count: sum(one[count] for one in parts) for count in counts},
        "mean_ms": sum(one["mean_ms"] * one["loads"] for one in parts) / loads,
        "p95_ms": max(one["p95_ms"] for one in parts),
        "plan": max(plans, key=lambda plan: str(plan["at"]), default=None),
    }


def _level(stats: LevelStats) -> dict[str, Any]:
    told = asdict(stats) | {"hit_rate": stats.hit_rate}
    del told["is_resting"]
    return told


def _sum_of(
    levels: Sequence[Mapping[str, Any]], of_servers: Callable[[Iterable[int]], int]
) -> dict[str, Any]:
    """`of_servers` puts together what a level has, rather than what a process counted."""
    whole: dict[str, Any] = {}
    for name in ("items", "bytes", "evictions", "expirations"):
        known = [level[name] for level in levels if level[name] is not None]
        whole[name] = of_servers(known) if known else None
    for name in ("hits", "misses", "errors"):
        whole[name] = sum(level[name] for level in levels)
    return whole | {"hit_rate": _rate(whole["hits"], whole["misses"])}


def _rate(hits: int, misses: int) -> float | None:
    asked = hits + max(misses, 0)
    return hits / asked if asked else None


def _whole_rate(l1: Mapping[str, Any], l2: Mapping[str, Any] | None) -> float | None:
    """Of both levels as one: what L1 misses and L2 has is a hit."""
    hits = l1["hits"] + (l2["hits"] if l2 is not None else 0)
    return _rate(hits, l1["hits"] + l1["misses"] - hits)


def _breaker(is_resting: bool) -> str:
    return "open" if is_resting else "closed"


def _worst(states: Iterable[str | None]) -> str | None:
    known = {state for state in states if state is not None}
    return None if not known else "open" if "open" in known else "closed"
