"""Who looks at Tocsin all day: a wallboard that reads lists, and who counts what failed."""

from itertools import cycle

from app.cli.client import Api

LISTS = (
    "/alerts",
    "/webhooks",
    "/alerts",
    "/deliveries",
    "/webhooks",
    "/anomalies",
    "/baselines",
    "/jobs",
)
READ_EVERY_SECONDS = 1.5
REVIEW_EVERY_SECONDS = 45.0


class Wallboard:
    """`api` takes what the cache has."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lists = cycle(LISTS)

    def turn(self) -> float:
        self._api.get(next(self._lists))
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
