"""Who looks at Tocsin all day: wallboards that read lists, and who counts what failed."""

from collections.abc import Sequence
from itertools import cycle

from app.cli.client import Api

LISTS = (
    "/alerts",
    "/webhooks",
    "/routing-rules",
    "/deliveries",
    "/anomalies",
    "/silences",
    "/baselines",
    "/jobs",
)
READ_EVERY_SECONDS = 2.0
REVIEW_EVERY_SECONDS = 45.0


class Wallboards:
    """One in each of several rooms, all with the same lists in turn, from what the cache has."""

    def __init__(self, apis: Sequence[Api]) -> None:
        self._apis = apis
        self._lists = cycle(LISTS)

    def turn(self) -> float:
        path = next(self._lists)
        for api in self._apis:
            api.get(path)
        return READ_EVERY_SECONDS


class DeadLetters:
    """Sees what failed, and what a redrive of it would be."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def turn(self) -> float:
        self._api.get("/deliveries/dead-letters/summary")
        self._api.post(
            "/deliveries/redrive", {"filter": {"reason": "attempts_exhausted"}, "dry_run": True}
        )
        return REVIEW_EVERY_SECONDS
