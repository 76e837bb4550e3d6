"""What of Alertmanager's words becomes which of ours."""

import pytest

from app.domain.alertmanager import message_of, severity_of, title_of
from app.domain.alerts import Severity


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ("critical", Severity.CRITICAL),
        (" Critical ", Severity.CRITICAL),
        ("page", Severity.CRITICAL),
        ("error", Severity.CRITICAL),
        ("warning", Severity.WARNING),
        ("info", Severity.INFO),
        ("none", Severity.INFO),
        # Neither lost among the infos nor a reason to wake anybody.
        ("purple", Severity.WARNING),
        ("", Severity.WARNING),
        (None, Severity.WARNING),
    ],
)
def test_severity(said: str | None, severity: Severity) -> None:
    assert severity_of({} if said is None else {"severity": said}) is severity


@pytest.mark.parametrize(
    ("annotations", "title"),
    [
        ({"summary": "Disk full", "title": "no"}, "Disk full"),
        ({"title": "Disk full"}, "Disk full"),
        ({"summary": ""}, "DiskFull"),
        ({}, "DiskFull"),
    ],
)
def test_title(annotations: dict[str, str], title: str) -> None:
    assert title_of({"alertname": "DiskFull"}, annotations) == title


def test_an_alert_without_any_name_has_a_title_all_the_same() -> None:
    assert title_of({}, {}) == "An alert without a name"


def test_message() -> None:
    annotations = {"description": "97 %", "runbook_url": "http://run", "dashboard_url": "http://d"}
    assert message_of(annotations, "http://prometheus") == (
        "97 %\nRunbook: http://run\nDashboard: http://d\nSource: http://prometheus"
    )
    assert message_of({"message": "97 %"}, None) == "97 %"
    assert message_of({}, None) is None
