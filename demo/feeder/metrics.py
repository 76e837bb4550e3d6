"""Two weeks of history at once, baselines from it, and then what is measured now."""

import logging
import time
from datetime import UTC, datetime
from typing import Any

from app.cli.client import Api
from demo.feeder.series import SHAPES, factor, value

# A little less than the 14 days that the API takes.
HISTORY_SECONDS = 14 * 86_400 - 3600
HISTORY_STEP_SECONDS = 120
SAMPLES_AT_ONCE = 10_000
EVERY_SECONDS = 5.0
LOOK_EVERY_SECONDS = 1.0
LABELS = {"site": "shop"}

log = logging.getLogger(__name__)


class Metrics:
    """Of every operation of the company: what was, then what is usual, then what is."""

    def __init__(self, api: Api) -> None:
        self._api = api
        # Episodes that were seen before are known, so the next run begins with another.
        self._first_episode: int = api.get("/anomalies", limit=1)["total"]
        self._to_recall = list(SHAPES)
        self._execution: int | None = None
        self._began_at: float | None = None

    def turn(self) -> float:
        """A step at a time, since others have their turns as well."""
        if self._to_recall:
            self._recall(self._to_recall[0])
            del self._to_recall[0]
            return 0.0
        if self._began_at is None:
            if not self._has_learnt():
                return LOOK_EVERY_SECONDS
            self._began_at = time.time()
            log.info("baselines are there; from now on something is unusual")
        self._measure(time.time(), self._began_at)
        return EVERY_SECONDS

    def _recall(self, operation: str) -> None:
        """Sends what was measured since the last sample that Tocsin has, two weeks at most: as
        though it had gone on while the demo was stopped.
        """
        now = time.time()
        times = missing_since(self._newest(operation), now)
        for begin in range(0, len(times), SAMPLES_AT_ONCE):
            some = times[begin : begin + SAMPLES_AT_ONCE]
            self._send([_sample(operation, at, value(operation, at)) for at in some])
        log.info("%s: %d samples of the past", operation, len(times))

    def _newest(self, operation: str) -> float | None:
        for one in self._api.items("/metrics/operations"):
            if one["operation"] == operation and one["last_sample_at"]:
                return datetime.fromisoformat(one["last_sample_at"]).timestamp()
        return None

    def _has_learnt(self) -> bool:
        """Whether the baselines are recalculated; asks for it at first."""
        if self._execution is None:
            asked = self._api.post("/baselines/recalculate", {})
            self._execution = asked["id"]
            return False
        page = self._api.get("/jobs/baseline-recalc/executions", limit=20)
        return any(
            one["id"] == self._execution and one["finished_at"] is not None for one in page["items"]
        )

    def _measure(self, now: float, began_at: float) -> None:
        off = {name: factor(name, now - began_at, self._first_episode) for name in SHAPES}
        self._send([_sample(name, now, value(name, now) * off[name]) for name in SHAPES])

    def _send(self, samples: list[dict[str, Any]]) -> None:
        self._api.post("/metrics", {"samples": samples})


def missing_since(newest: float | None, now: float) -> list[float]:
    """The times of samples that are missing, a step apart, the oldest first."""
    since = now - HISTORY_SECONDS
    if newest is not None:
        since = max(since, newest + HISTORY_STEP_SECONDS)
    count = max(0, int((now - since) // HISTORY_STEP_SECONDS))
    return [since + number * HISTORY_STEP_SECONDS for number in range(count)]


def _sample(operation: str, at: float, number: float) -> dict[str, Any]:
    return {
        "operation": operation,
        "value": round(number, 3),
        "unit": SHAPES[operation].unit,
        "labels": LABELS,
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(),
    }
