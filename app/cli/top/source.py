"""What the view shows, asked for no oftener than it changes.

A user may make 100 requests a minute, and the dashboard may be open as well. So queue, workers and
health come from `/health/deep`, which costs nothing, and the rest at a pace of its own: some 40
requests a minute in all.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.cli.client import Api, Refused
from app.cli.exits import Exit, Failure

OUTCOMES: Final = ("delivered", "failed")
MINUTES: Final = 30
LATENCY = "tocsin.delivery.latency_ms"
MAX_ALERTS = 100

Points = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class View:
    """One look. What could not be asked is as it was before, or empty; `fault` says why."""

    url: str
    at: datetime
    health: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)
    alerts: Mapping[str, Any] = field(default_factory=dict)  # a page of the pending ones
    jobs: Sequence[Mapping[str, Any]] = ()
    deliveries: Mapping[str, Points] = field(default_factory=dict)  # whole minutes, by outcome
    fault: str | None = None


class Source:
    """Asks, and remembers. The first look raises Failure; later ones say what failed."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, Any] = {}
        self._due: dict[str, float] = {}

    def look(self) -> View:
        questions: tuple[tuple[str, float, Callable[[], Any]], ...] = (
            ("health", 0.0, self._api.health),
            ("system", 5.0, lambda: self._api.get("/system/info")),
            (
                "alerts",
                5.0,
                lambda: self._api.get("/alerts", status="pending", limit=MAX_ALERTS),
            ),
            ("jobs", 15.0, lambda: self._api.get("/jobs", limit=100)["items"]),
            ("deliveries", 10.0, self._deliveries),
        )
        is_first = not self._known
        fault = None
        now = time.monotonic()
        for name, every_seconds, ask in questions:
            if self._due.get(name, now) > now:
                continue
            try:
                self._known[name] = ask()
                self._due[name] = now + every_seconds
            except Failure as failure:
                if is_first:
                    raise
                fault = str(failure).splitlines()[0]
                break
        return View(self._api.url, datetime.now(UTC), **self._known, fault=fault)

    def _deliveries(self) -> dict[str, Points]:
        until = datetime.now(UTC).replace(second=0, microsecond=0)
        found: dict[str, Points] = {}
        for outcome in OUTCOMES:
            try:
                answer = self._api.get(
                    "/metrics/query",
                    operation=LATENCY,
                    agg="count,p50,p95",
                    since=(until - timedelta(minutes=MINUTES)).isoformat(),
                    until=until.isoformat(),
                    step=60,
                    **{"label.outcome": outcome},
                )
                found[outcome] = answer["points"]
            except Refused as refused:
                if refused.code is not Exit.NOT_FOUND:
                    raise
                found[outcome] = ()  # nothing was delivered here yet
        return found
