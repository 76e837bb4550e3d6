"""`tocsin top`: pictures of the right size, of what is there, also when something is not."""

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from fcntl import ioctl
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from app.cli.top.frame import frame, spark
from app.cli.top.source import View
from tests.cli.conftest import Tocsin
from tests.harness.client import Client
from tests.harness.system import ROOT, System, clean_environment
from tests.harness.waiting import eventually

AT = datetime(2026, 11, 28, 4, 30, tzinfo=UTC)
VIEW = View(
    "http://127.0.0.1:8000",
    AT,
    health={
        "status": "degraded",
        "checks": {
            "database": {
                "status": "healthy",
                "data": {"undelivered": 12, "in_flight": 3, "oldest_due_seconds": 75.0},
            },
            "broker": {"status": "unavailable"},
            "webhooks": {"status": "degraded", "data": {"healthy": 40, "unavailable": 2}},
        },
    },
    system={
        "version": "0.1.0",
        "workers": [
            {"name": "deliver-1@host", "is_alive": True, "seen_at": AT.isoformat()},
            {"name": "jobs-1@host", "is_alive": False, "seen_at": "2026-11-28T04:00:00+00:00"},
        ],
    },
    alerts={
        "total": 31,
        "items": [
            {
                "id": 100 - index,
                "severity": "critical",
                "created_at": "2026-11-28T04:29:00+00:00",
                "count": index + 1,
                "title": "数据库 is away, and this title is much too long for it all " * 2,
            }
            for index in range(31)
        ],
    },
    jobs=[
        {
            "name": name,
            "missed_ticks_24h": 1,
            "last_execution": {"status": status, "started_at": "2026-11-28T04:29:50+00:00"},
        }
        for name, status in (("deliver", "succeeded"), ("train-risk-model", "failed"))
    ]
    + [{"name": "never", "missed_ticks_24h": 0, "last_execution": None}],
    deliveries={
        "delivered": [{"count": minute, "p50": 3.0, "p95": 9.0} for minute in range(30)],
        "failed": [{"count": None, "p50": None, "p95": None}] * 30,
    },
)


def lines(view: View, width: int, height: int) -> list[str]:
    out = StringIO()
    Console(file=out, width=width, height=height).print(frame(view, width, height))
    return out.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (200, 60), (60, 16), (40, 10), (10, 3), (1, 1)]
)
@pytest.mark.parametrize("view", [VIEW, View("http://x", AT), replace(VIEW, fault="away " * 50)])
def test_a_picture_fills_the_terminal_and_no_more(view: View, width: int, height: int) -> None:
    shown = lines(view, width, height)
    assert len(shown) == height
    assert {cell_len(line) for line in shown} == {width}


def test_what_is_in_it() -> None:
    shown = "\n".join(lines(VIEW, 80, 24))
    for text in (
        "12 undelivered   3 in flight   oldest due for 1 min",
        "0.5/s",
        "p50 3  p95 9 ms",
        "40 healthy",
        "2 unavailable",
        "Open alerts: 31",
        " 2×  ",
        "gone 30 min",
    ):
        assert text in shown
    jobs = [line for line in shown.splitlines() if line.startswith(" train") or "deliver " in line]
    assert jobs[0].startswith(" train-risk-model"), "what failed comes first"


def test_a_title_can_not_move_the_cursor() -> None:
    alert = {**VIEW.alerts["items"][0], "title": "\x1b[2J\r\nowned"}
    shown = lines(replace(VIEW, alerts={"total": 1, "items": [alert]}), 80, 24)
    assert len(shown) == 24
    assert not any("\x1b" in line or "\r" in line for line in shown)


def test_what_is_away_takes_the_place_of_the_status() -> None:
    shown = lines(replace(VIEW, fault="http://127.0.0.1:8000 does not answer"), 80, 24)
    assert "does not answer" in shown[0]
    assert "degraded" not in shown[0]
    assert "12 undelivered" in shown[1], "what was known stays"


def test_bars() -> None:
    assert spark([]) == ""
    assert spark([0, 0]) == "  "
    assert spark([0, 1, 500, 1000]) == " ▁▄█"


def test_one_picture(here: Tocsin, client: Client) -> None:
    client.raise_alert(title="the one and only")
    shown = here("top", "--once")
    assert shown.code == 0
    assert "the one and only" in shown.out
    assert "Queue" in shown.out
    assert len(here("top", "--once", "--json").json["jobs"]) > 5


def test_nobody_there(tocsin: Tocsin) -> None:
    assert tocsin("top").code == 3


@contextmanager
def on_a_terminal(
    system: System, *arguments: str
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A command whose terminal is ours: its file descriptor, and the process."""
    ours, theirs = pty.openpty()
    resize(theirs, 80, 24)
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT,
        env=clean_environment({"DATA_DIR": str(system.data_dir), "TERM": "xterm-256color"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def resize(terminal: int, columns: int, rows: int) -> None:
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def drained(terminal: int) -> str:
    """What has been written by now."""
    parts = []
    while select.select([terminal], [], [], 0)[0]:
        try:
            parts.append(os.read(terminal, 65536))
        except OSError:
            break  # the other end is closed
    return b"".join(parts).decode(errors="replace")


def test_it_goes_on_on_a_terminal_until_q(client: Client, system: System) -> None:
    """In one process, since each costs a second: it draws, follows a resize, and leaves."""
    client.raise_alert(title="seen on the terminal")
    with on_a_terminal(system, "top", "--interval", "1") as (terminal, process):
        seen = ""

        def shows(text: str) -> bool:
            nonlocal seen
            seen += drained(terminal)
            return text in seen

        eventually(lambda: shows("seen on the terminal"), 30, "the first picture")
        assert "\x1b[?1049h" in seen, "it draws on a screen of its own"
        client.raise_alert(title="came later")
        eventually(lambda: shows("came later"), 30, "a later picture")

        seen = ""
        resize(terminal, 120, 40)
        os.killpg(process.pid, signal.SIGWINCH)
        eventually(lambda: shows("─" * 100), 30, "a wider picture")

        os.write(terminal, b"q")
        eventually(lambda: shows("\x1b[?1049l"), 10, "the old screen")
        assert process.wait(10) == 0
