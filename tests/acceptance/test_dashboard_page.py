"""The dashboard as it is served: its headers, its files, and what is in them."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from app.domain import anomalies
from app.domain.alerts import AlertStatus, EventType
from app.domain.health import CheckDecision, CheckReason, HealthStatus
from app.domain.retry import Reason
from app.domain.routing import GroupReason, RoutingReason
from app.domain.told import NotToldReason
from app.domain.traffic import DisabledReason, TrafficReason
from app.domain.waiting import WaitingReason
from app.services import follow_ups
from app.web.pages import DASHBOARD
from tests.acceptance.test_docs_page import TYPES, Page
from tests.harness.client import Client

FILES = sorted(DASHBOARD.iterdir())
# What makes markup or code of a text.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|cssText"
)
SPOKEN = (
    Reason,
    RoutingReason,
    GroupReason,
    NotToldReason,
    WaitingReason,
    TrafficReason,
    DisabledReason,
    CheckReason,
    CheckDecision,
    HealthStatus,
    EventType,
    anomalies.EndReason,
    follow_ups.Kind,
    follow_ups.Outcome,
)


@pytest.fixture
def page(client: Client) -> Page:
    return Page(client.as_nobody().get("/").text)


def test_its_policy_lets_in_nothing_but_its_own_files(client: Client) -> None:
    answer = client.as_nobody().get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = {
        name: sources.split()
        for name, _, sources in (
            part.strip().partition(" ")
            for part in answer.headers["content-security-policy"].split(";")
        )
    }
    assert policy["default-src"] == ["'none'"]
    for own in ("script-src", "style-src", "connect-src", "img-src"):
        assert policy[own] == ["'self'"], own
    for none in ("frame-ancestors", "base-uri", "form-action", "trusted-types"):
        assert policy[none] == ["'none'"], none
    assert policy["require-trusted-types-for"] == ["'script'"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


def test_it_is_asked_for_each_time_and_its_files_are_kept(client: Client, page: Page) -> None:
    nobody = client.as_nobody()
    first = nobody.get("/")
    assert first.headers["cache-control"] == "no-cache"
    same = nobody.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert page.inline == []
    assets = [path for path in page.loads if path.startswith("/assets/")]
    folder = assets[0].rpartition("/")[0]
    assert {path.rpartition("/")[0] for path in assets} == {folder}
    for file in FILES:
        asset = nobody.get(f"{folder}/{file.name}")
        assert asset.status_code == 200, file.name
        assert asset.content == file.read_bytes()
        assert asset.headers["content-type"].startswith(
            {**TYPES, ".svg": "image/svg+xml"}[file.suffix]
        )
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "ratelimit-limit" not in asset.headers
    # For a page of another release: it gets what there is, and doesn't keep it.
    other = nobody.get(f"/assets/{'0' * 16}/main.js")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["nothing.js", "..%2f..%2fpages.py", "dashboard.html", "docs.js"])
def test_only_its_own_files_are_served(client: Client, page: Page, name: str) -> None:
    folder = page.loads[0].rpartition("/")[0]
    answer = client.as_nobody().get(f"{folder}/{name}")
    assert (answer.status_code, answer.json()["status_code"]) == (404, 404)


def test_it_links_to_flower_and_the_docs(client: Client, page: Page) -> None:
    elsewhere = [path for path in page.loads if not path.startswith(("/assets/", "#"))]
    assert elsewhere[:1] == ["/api/docs"]
    (flower,) = {path for path in elsewhere if path != "/api/docs"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", flower)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_its_files_make_no_markup_of_texts_and_ask_nobody_else(file: Path) -> None:
    text = file.read_text()
    assert not DANGEROUS.search(text)
    assert set(re.findall(r"\w+://[\w.]+", text)) <= {"http://www.w3.org", "https://example.com"}


def test_every_reason_is_said_in_words() -> None:
    known = set(
        re.findall(r'^  "?([\w.]+)"?:\s+"', (DASHBOARD / "words.js").read_text(), re.MULTILINE)
    )
    assert set(_names()) <= known


def _names() -> Iterator[str]:
    enums: tuple[type[StrEnum], ...] = SPOKEN
    for enum in enums:
        yield from (one.value for one in enum)
    yield from (AlertStatus.ACKNOWLEDGED.value, AlertStatus.RESOLVED.value)
