"""A Prometheus Alertmanager that tells Tocsin: firing for two minutes of every three."""

import time
from datetime import UTC, datetime
from typing import Any

from app.cli.client import Api

EVERY_SECONDS = 20.0
PERIOD_SECONDS = 180
FIRING_SECONDS = 120
NEVER = "0001-01-01T00:00:00Z"
INSTANCES = ("web-1:9100", "web-2:9100")


class Alertmanager:
    def __init__(self, api: Api) -> None:
        self._api = api

    def turn(self) -> float:
        """Says how it is, again and again, as the real one does."""
        self._api.post("/integrations/alertmanager", message(time.time()))
        return EVERY_SECONDS


def message(at: float) -> dict[str, Any]:
    """Its webhook message, version 4, at this time in seconds since 1970."""
    began = int(at // PERIOD_SECONDS) * PERIOD_SECONDS
    ended = began + FIRING_SECONDS
    status = "firing" if at < ended else "resolved"
    common = {"alertname": "HighLoad", "severity": "warning", "team": "platform"}
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HighLoad"}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "tocsin",
        "groupLabels": {"alertname": "HighLoad"},
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": [
            {
                "status": status,
                "labels": common | {"instance": instance},
                "annotations": {
                    "summary": f"Load of {instance} is high",
                    "description": "Above 8 for five minutes.",
                },
                "startsAt": _time(began),
                "endsAt": NEVER if status == "firing" else _time(ended),
                "generatorURL": "http://prometheus.example:9090/graph",
                "fingerprint": f"{number:016x}",
            }
            for number, instance in enumerate(INSTANCES, 1)
        ],
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
