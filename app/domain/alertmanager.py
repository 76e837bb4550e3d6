"""What Prometheus Alertmanager says, in our words: one alert of its webhook message, version 4."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.alerts import Severity

VERSION = "4"
MAX_TITLE_CHARS = 500
MAX_MESSAGE_CHARS = 20_000
MAX_LABEL_CHARS = 1024
# People name severities as they like. What is not known is a warning: neither lost among the infos
# nor a reason to wake anybody.
_SEVERITIES: Mapping[str, Severity] = {
    **dict.fromkeys(
        ("critical", "crit", "page", "error", "fatal", "emergency", "disaster", "high", "p1"),
        Severity.CRITICAL,
    ),
    **dict.fromkeys(
        ("info", "information", "informational", "notice", "none", "low", "debug", "p4", "p5"),
        Severity.INFO,
    ),
}


class Became(StrEnum):
    """What became of a notice."""

    CREATED = "created"
    OPEN = "open"  # known and not over
    RESOLVED = "resolved"
    OVER = "over"  # it was over before, or ended before anybody was told


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert as Alertmanager tells of it. What it tells of is one time that the alert fired: the
    fingerprint of its labels, and when it began. `ends_at` None: it is firing.
    """

    fingerprint: str
    starts_at: datetime
    ends_at: datetime | None
    title: str
    message: str | None
    severity: Severity
    labels: Mapping[str, str]

    @property
    def key(self) -> tuple[str, datetime]:
        return self.fingerprint, self.starts_at

    @property
    def dedup_key(self) -> str:
        """While an alert is open, its fingerprint is that alert."""
        return f"alertmanager/{self.fingerprint}"


def severity_of(labels: Mapping[str, str]) -> Severity:
    """By the label `severity`, in any case; a warning where it is missing or says nothing known."""
    return _SEVERITIES.get(labels.get("severity", "").strip().lower(), Severity.WARNING)


def title_of(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    said = annotations.get("summary") or annotations.get("title") or labels.get("alertname")
    return cut(said or "An alert without a name", MAX_TITLE_CHARS)


def message_of(annotations: Mapping[str, str], generator_url: str | None) -> str | None:
    """The description, and beneath it where to read on."""
    parts = [annotations.get("description") or annotations.get("message")]
    parts += [
        f"{name}: {where}"
        for name, where in (
            ("Runbook", annotations.get("runbook_url")),
            ("Dashboard", annotations.get("dashboard_url")),
            ("Source", generator_url),
        )
        if where
    ]
    return cut("\n".join(part for part in parts if part), MAX_MESSAGE_CHARS) or None


def cut(text: str, most: int) -> str:
    """Too long is no reason to lose an alert."""
    return text if len(text) <= most else text[: most - 1] + "…"
