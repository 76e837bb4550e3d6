"""The log: one line an event, readable by machines, without secrets."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
import structlog

from app import logs
from app.logs import redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s3cr3t-Sig_nature"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw="
KEY = "tsk_abc-DEF_123"
GONE = "[redacted]"

Lines = Callable[[], list[str]]


@pytest.fixture
def configured(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str], Lines]]:
    """Configures the log as a process does, and gives what it wrote; puts all back afterwards."""
    root = logging.getLogger()
    before = (root.handlers, root.level)

    def configure(style: Any) -> Lines:
        logs.configure("INFO", style, "test")
        return lambda: capsys.readouterr().err.split("\n")[:-1]

    yield configure
    root.handlers, root.level = before
    structlog.reset_defaults()


def fresh() -> Any:
    """A logger that was not used before: used ones remember how they were configured."""
    return structlog.get_logger("a.logger")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        # Tokens in URLs.
        ("GET /api/v1/alerts?token=abc123", f"GET /api/v1/alerts?token={GONE}"),
        ("/ws?since=7&token=abc&limit=5", f"/ws?since=7&token={GONE}&limit=5"),
        ("/ws?ticket=abc HTTP/1.1", f"/ws?ticket={GONE} HTTP/1.1"),
        ("/x?TOKEN=abc", f"/x?TOKEN={GONE}"),
        ('"/x?token=abc"', f'"/x?token={GONE}"'),
        ("password=p@ss&x=1", f"password={GONE}&x=1"),
        # Headers.
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {GONE}"),
        ("bearer  abc", f"bearer  {GONE}"),
        # What is recognised wherever it stands.
        (f"claims of {JWT} are wrong", f"claims of {GONE} are wrong"),
        (f"?access_token={JWT}", f"?access_token={GONE}"),
        (f"signed with {SECRET}", f"signed with {GONE}"),
        (f"key {KEY}, please", f"key {GONE}, please"),
        (f"{SECRET} and {KEY}", f"{GONE} and {GONE}"),
        # Passwords in URLs.
        ("postgresql://me:hunter2@db:5432/x", f"postgresql://me:{GONE}@db:5432/x"),
        ("redis://:hunter2@broker:6379/0", f"redis://:{GONE}@broker:6379/0"),
        ("redis://:hun&ter/2'", "redis://:hun&ter/2'"),
        ("redis://:hun&t@er:2@broker/0", f"redis://:{GONE}@broker/0"),
        ("https://me:pw@a.example/ and more", f"https://me:{GONE}@a.example/ and more"),
        # What is none.
        ("http://127.0.0.1:8000/health", "http://127.0.0.1:8000/health"),
        ("https://a.example:8443/x?y=1", "https://a.example:8443/x?y=1"),
        ("mail me@a.example: it is 12:30", "mail me@a.example: it is 12:30"),
        ("tokens are counted", "tokens are counted"),
        ("", ""),
    ],
)
def test_secrets_are_taken_out_of_texts(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"password": "x"}, {"password": GONE}),
        ({"new_password": "x"}, {"new_password": GONE}),
        ({"jwt_secret_key": "x"}, {"jwt_secret_key": GONE}),
        ({"access_token": "x"}, {"access_token": GONE}),
        ({"Authorization": "x"}, {"Authorization": GONE}),
        ({"Cookie": "x"}, {"Cookie": GONE}),
        ({"api_key": 7}, {"api_key": GONE}),
        ({"tokens": ["x", "y"]}, {"tokens": GONE}),
        # Nested, however deep.
        ({"body": {"user": {"password": "x", "name": "ada"}}},
         {"body": {"user": {"password": GONE, "name": "ada"}}}),
        ({"headers": [{"authorization": "x"}, {"accept": "y"}]},
         {"headers": [{"authorization": GONE}, {"accept": "y"}]}),
        ({"secret": {"of": ["x"]}}, {"secret": GONE}),
        ({"urls": ("/x?token=abc",)}, {"urls": [f"/x?token={GONE}"]}),
        ({"seen": {"/x?token=abc"}}, {"seen": [f"/x?token={GONE}"]}),
        ({"by_url": {"/x?token=abc": 1}}, {"by_url": {f"/x?token={GONE}": GONE}}),
        ({"request": MappingProxyType({"password": "x"})}, {"request": {"password": GONE}}),
        # What is no text is written as one.
        ({"error": ValueError("redis://:pw@broker failed")},
         {"error": f"redis://:{GONE}@broker failed"}),
        ({"raw": SECRET.encode()}, {"raw": f"b'{GONE}'"}),
        ({"at": datetime(2026, 7, 1, tzinfo=UTC)}, {"at": "2026-07-01 00:00:00+00:00"}),
        # What is harmless stays what it is.
        ({"count": 7, "ratio": 0.5, "ok": True, "none": None, "text": "Größe 🚨"},) * 2,
    ],
)  # fmt: skip
def test_secrets_are_taken_out_of_fields(
    configured: Callable[[str], Lines], fields: dict[str, Any], shown: dict[str, Any]
) -> None:
    lines = configured("json")
    fresh().info("it happened", **fields)
    (line,) = lines()
    assert {name: json.loads(line)[name] for name in shown} == shown


def test_a_line_is_json_and_says_who_when_and_what(configured: Callable[[str], Lines]) -> None:
    lines = configured("json")
    fresh().warning("it happened", action="it_happened", n=1)
    logging.getLogger("a.library").error("%s of theirs", "an event", extra={"more": 2})
    ours, theirs = map(json.loads, lines())
    moments = [datetime.fromisoformat(event.pop("timestamp")) for event in (ours, theirs)]
    assert all(abs((datetime.now(UTC) - moment).total_seconds()) < 60 for moment in moments)
    assert ours == {
        "event": "it happened",
        "action": "it_happened",
        "n": 1,
        "level": "warning",
        "logger": "a.logger",
        "process": "test",
    }
    assert theirs == {
        "event": "an event of theirs",
        "more": 2,
        "level": "error",
        "logger": "a.library",
        "process": "test",
    }


@pytest.mark.parametrize(
    "text", ["two\nlines", 'quotes " and \\', "\x00\x1b[31m", "Größe 🚨", "\u2028"]
)
def test_whatever_the_text_it_is_one_line(configured: Callable[[str], Lines], text: str) -> None:
    lines = configured("json")
    fresh().info(text, field=text)
    (line,) = lines()
    event = json.loads(line)
    assert event["event"] == event["field"] == text


def test_the_librarys_texts_are_redacted_too(configured: Callable[[str], Lines]) -> None:
    lines = configured("json")
    logging.getLogger("a.library").warning("can't connect to %s", "redis://:hunter2@broker")
    assert "hunter2" not in lines()[0]


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_are_redacted_and_show_no_locals(
    configured: Callable[[str], Lines], style: str
) -> None:
    lines = configured(style)
    fails_with("hunter2")
    text = "\n".join(lines())
    assert "hunter" not in text
    assert text.count(f"ValueError: redis://:{GONE}@broker") == 2
    assert text.count("Traceback (most recent call last)") == 2


def fails_with(password: str) -> None:
    """Its local `password` is what a traceback that shows locals would show."""
    try:
        raise ValueError(f"redis://:{password}@broker")
    except ValueError:
        fresh().exception("it failed", url=f"/x?token={password}")
        logging.getLogger("a.library").exception("it failed too")


def test_the_console_shows_it_to_a_person(configured: Callable[[str], Lines]) -> None:
    lines = configured("console")
    fresh().info("it happened", action="it_happened", password="x")
    (line,) = lines()
    assert "it happened" in line
    assert f"password={GONE}" in line


def test_below_the_level_nothing_is_written(configured: Callable[[str], Lines]) -> None:
    lines = configured("json")
    fresh().debug("it happened")
    logging.getLogger("celery.beat").info("a tick")
    assert lines() == []
