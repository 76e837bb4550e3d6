"""Omar is on call: acknowledges some of the alerts, and resolves them all in the end.

What he does to an alert is decided by its id, and when by its age: who takes over after a restart
goes on where he was.
"""

import random
import time
from datetime import datetime
from typing import Any

from app.cli.client import Api

EVERY_SECONDS = 5.0
AT_ONCE = 3
# Their own ends come from where they came from.
NOT_HIS = frozenset({"anomaly", "tocsin", "webhook-health", "alertmanager"})


class Shift:
    def __init__(self, api: Api) -> None:
        self._api = api

    def turn(self) -> float:
        now = time.time()
        found = [
            one
            for status in ("pending", "acknowledged")
            for one in self._api.get("/alerts", status=status, limit=100)["items"]
        ]
        seen = [one["id"] for one in found if one["status"] == "pending" and _sees(one, now)]
        if seen:
            self._api.post("/alerts/acknowledge-batch", {"alert_ids": seen})
        mended = [one["id"] for one in reversed(found) if _has_mended(one, now)]
        for alert_id in mended[:AT_ONCE]:
            self._api.post(f"/alerts/{alert_id}/resolve")
        return EVERY_SECONDS


def _sees(alert: dict[str, Any], now: float) -> bool:
    chance = random.Random(alert["id"])
    takes = {"critical": 0.7, "warning": 0.3, "info": 0.1}[alert["severity"]]
    return chance.random() < takes and _age(alert, now) > chance.uniform(8, 40)


def _has_mended(alert: dict[str, Any], now: float) -> bool:
    if alert["source"] in NOT_HIS:
        return False
    return _age(alert, now) > random.Random(alert["id"] + 1).uniform(60, 300)


def _age(alert: dict[str, Any], now: float) -> float:
    return now - datetime.fromisoformat(alert["created_at"]).timestamp()
