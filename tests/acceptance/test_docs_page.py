"""The API's documentation as a page: it works offline, and runs nothing but our own files."""

import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.browser import QUIET, chromium
from tests.harness.client import Client
from tests.harness.system import System

TYPES = {".css": "text/css", ".js": "text/javascript", ".png": "image/png"}


class Page(HTMLParser):
    """What a page loads, and what it would run from its own text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        for name, value in attrs:
            if name in {"src", "href"}:
                self.loads.append(value or "")
            elif name.startswith("on"):
                self.inline.append(f"{name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)


def test_it_loads_nothing_from_elsewhere_and_runs_nothing_inline(client: Client) -> None:
    answer = client.as_nobody().get("/api/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")

    page = Page(answer.text)

    assert page.inline == []
    assert page.loads
    for path in page.loads:
        # On this host: a scheme or two slashes would lead to another.
        assert urlsplit(path)[:2] == ("", ""), path
        asset = client.as_nobody().get(path)
        assert asset.status_code == 200, path
        assert asset.headers["content-type"].startswith(TYPES[Path(path).suffix]), path
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.content, path
    assert "://" not in client.get("/api/docs/docs.js").text


def test_its_policy_forbids_what_it_does_not_need(client: Client) -> None:
    header = client.get("/api/docs").headers["content-security-policy"]
    policy = {
        name: sources.split()
        for name, _, sources in (part.strip().partition(" ") for part in header.split(";"))
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'"]
    assert policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]


@pytest.mark.parametrize(
    "name", ["nothing.js", "docs.html", "..%2f..%2f__init__.py", "oauth2-redirect.html"]
)
def test_only_its_own_files_are_served(client: Client, name: str) -> None:
    answer = client.as_nobody().get(f"/api/docs/{name}")
    assert answer.status_code == 404
    assert answer.json()["status_code"] == 404


def test_a_browser_shows_the_operations(client: Client, system: System, tmp_path: Path) -> None:
    shown = subprocess.run(
        [
            chromium(),
            "--headless",
            *QUIET,
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{system.url}/api/docs",
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    ).stdout
    # None of this is in the page itself: it comes by the script, from the OpenAPI document.
    assert "Raise an alert" in shown
    assert 'data-path="/api/v1/webhooks/{webhook_id}/rotate-secret"' in shown
    assert "Failed to load API definition" not in shown
