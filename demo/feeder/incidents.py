"""What goes wrong in the company: alerts as its systems raise them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.cli.client import Api

BURST_EVERY_SECONDS = 120.0
BURST_OF = 12
SEED = 7
CLUSTERS = ("eu-1", "eu-2", "us-1", "us-2")


@dataclass(frozen=True)
class Kind:
    """`often`: how many of these among all. Values in braces are filled in by chance."""

    title: str
    severity: str
    source: str
    labels: Mapping[str, str]
    often: int = 2
    message: str | None = None


KINDS = (
    Kind(
        "Disk of {host} is {percent} % full",
        "warning",
        "node-exporter",
        {"alertname": "DiskFull", "team": "storage", "host": "{host}", "cluster": "{cluster}"},
        often=4,
        message="At this pace it is full in {hours} h.",
    ),
    Kind(
        "Replication of {host} is {seconds} s behind",
        "critical",
        "postgres",
        {"alertname": "ReplicationLag", "team": "storage", "host": "{host}"},
    ),
    Kind(
        "Payment provider refuses {percent} % of cards",
        "critical",
        "payments",
        {"alertname": "CardsRefused", "team": "payments", "region": "eu"},
    ),
    Kind(
        "Deployed {service} {version}",
        "info",
        "deployments",
        {"alertname": "Deployed", "service": "{service}", "env": "production"},
        often=3,
    ),
    Kind(
        "Certificate of {service} ends in {hours} h",
        "warning",
        "certificates",
        {"alertname": "CertificateEnds", "team": "platform", "service": "{service}"},
    ),
    Kind(
        "{service} answers 5xx to {percent} % of requests",
        "critical",
        "gateway",
        {"alertname": "ServerErrors", "team": "platform", "service": "{service}", "region": "eu"},
        often=3,
    ),
    Kind(
        "Stock of {percent} articles differs in the warehouse",
        "warning",
        "warehouse",
        {"alertname": "StockDiffers", "team": "warehouse", "region": "eu"},
        often=3,
    ),
    Kind(
        "Nightly backup of {host} took {hours} h",
        "info",
        "backups",
        {"alertname": "BackupSlow", "team": "storage", "host": "{host}"},
        often=2,
    ),
    Kind(
        "Ledger export failed after {seconds} s",
        "warning",
        "mainframe",
        {"alertname": "ExportFailed", "team": "legacy", "host": "{host}"},
        often=2,
    ),
    Kind(
        "{service} restarts again and again",
        "warning",
        "kubernetes",
        {"alertname": "CrashLoop", "service": "{service}", "env": "staging"},
        often=2,
    ),
)


class Incidents:
    """Alerts at a gentle pace, each by chance, and bursts of them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._random = random.Random(SEED)
        self._bursts = 0

    def first(self) -> None:
        """One of each kind, so that all there is to see is seen soon."""
        self._api.post("/alerts/batch", {"alerts": [self._alert(kind) for kind in KINDS]})

    def turn(self) -> float:
        kind = self._random.choices(KINDS, [kind.often for kind in KINDS])[0]
        self._api.post("/alerts", self._alert(kind))
        return self._random.uniform(4.0, 12.0)

    def burst(self) -> float:
        """Everything behind one service at once; every other time its whole cluster is down first,
        which explains it.
        """
        service, cluster = self._random.choice(("cart", "payment")), self._random.choice(CLUSTERS)
        if self._bursts % 2:
            down = {"alertname": "ClusterDown", "cluster": cluster, "team": "platform"}
            body = {"title": f"Cluster {cluster} does not answer", "severity": "critical"}
            self._api.post("/alerts", body | {"source": "gateway", "labels": down})
        self._bursts += 1
        alerts = [
            {
                "title": f"{service}-{number} times out",
                "severity": "critical" if number == 1 else "warning",
                "source": "blackbox",
                "labels": {
                    "alertname": "Timeout",
                    "team": "checkout",
                    "service": service,
                    "cluster": cluster,
                    "host": f"{service}-{number}",
                },
            }
            for number in range(1, BURST_OF + 1)
        ]
        self._api.post("/alerts/batch", {"alerts": alerts})
        return BURST_EVERY_SECONDS

    def _alert(self, kind: Kind) -> dict[str, Any]:
        words = {
            "host": f"db-{self._random.randint(1, 9)}",
            "cluster": self._random.choice(CLUSTERS),
            "service": self._random.choice(("cart", "search", "login", "invoices", "images")),
            "version": f"4.{self._random.randint(0, 30)}.{self._random.randint(0, 9)}",
            "percent": self._random.randint(3, 97),
            "seconds": self._random.randint(20, 300),
            "hours": self._random.randint(2, 48),
        }
        return {
            "title": kind.title.format(**words),
            "severity": kind.severity,
            "source": kind.source,
            "labels": {name: text.format(**words) for name, text in kind.labels.items()},
            "message": kind.message and kind.message.format(**words),
        }
