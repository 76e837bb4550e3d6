"""Badges: small SVGs that say what is so, whatever a webhook is called."""

from xml.etree import ElementTree

import pytest

from app.domain.badge import GREEN, GREY, RED, YELLOW, status_badge, uptime_badge


def said(svg: str) -> tuple[str, str]:
    """The title and the colour of the value."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    title = root.find(f"{space}title")
    assert title is not None
    assert title.text is not None
    return title.text, root.findall(f"{space}rect")[1].attrib["fill"]


@pytest.mark.parametrize(
    ("status", "is_active", "expected"),
    [
        ("healthy", True, ("pager: healthy", GREEN)),
        ("degraded", True, ("pager: degraded", YELLOW)),
        ("unavailable", True, ("pager: unavailable", RED)),
        ("unknown", True, ("pager: unknown", GREY)),
        ("healthy", False, ("pager: inactive", GREY)),
    ],
)
def test_a_status(status: str, is_active: bool, expected: tuple[str, str]) -> None:
    assert said(status_badge("pager", status, is_active=is_active)) == expected


@pytest.mark.parametrize(
    ("uptime", "expected"),
    [
        (None, ("pager 7d: no data", GREY)),
        (1.0, ("pager 7d: 100 %", GREEN)),
        (0.999999, ("pager 7d: 99.99 %", GREEN)),  # not rounded up to what it is not
        (0.995, ("pager 7d: 99.5 %", YELLOW)),
        (0.5, ("pager 7d: 50 %", RED)),
        (0.0, ("pager 7d: 0 %", RED)),
    ],
)
def test_an_uptime(uptime: float | None, expected: tuple[str, str]) -> None:
    assert said(uptime_badge("pager", "7d", uptime)) == expected


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", 'a"b', "a&b", "x" * 500, "a\x01b", "päger 🚨", ""]
)
def test_a_name_is_only_text(name: str) -> None:
    title, _colour = said(status_badge(name, "healthy", is_active=True))
    assert title.endswith(": healthy")
    assert len(title) < 60
