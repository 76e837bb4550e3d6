"""What the dashboard costs a browser: 500 webhooks in the grid, and a thousand messages a second.

A server of its own plays the stream to a real Chromium, so that nothing but the page is measured:
how much of a processor its main thread takes, by that thread's own clock, so that a busy machine
changes little; and how long a timer that is due waits at most, by the clock on the wall.
"""

import argparse
import itertools
import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, render_template
from flask_sock import Sock
from playwright.sync_api import CDPSession, sync_playwright
from simple_websocket import ConnectionClosed
from werkzeug.serving import make_server

from app.web.pages import DASHBOARD, TYPES
from benchmarks.command import positive
from benchmarks.tables import row, title

# Until all that comes once is drawn.
SETTLE_MS = 3000
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
WIDTHS = (14, 16, 22, 16, 14)
TOKENS = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 900}
ME = {"kind": "user", "id": 1, "name": "bench", "role": "operator"}
METRICS: dict[str, Any] = {
    "queue": {"undelivered": 12, "in_flight": 3, "oldest_due_seconds": 0.4},
    "deliveries_per_second": {"delivered": 900.0, "failed": 1.0, "cancelled": 0.0},
    "delivery_latency_ms": {"count": 1000, "p50": 2.1, "p95": 4.0, "p99": 9.3},
    "alerts": {"pending": 50, "acknowledged": 0},
    "webhooks": {"healthy": 490, "unavailable": 10},
    "gates": {"open": 500, "closed": 0, "half_open": 0, "paced": 0},
    "anomalies_open": 0,
    "workers": [],
    "not_shown": {},
}
KINDS = ("alert", "delivery", "webhook")
# Frames that were asked for would cost more than all the rest.
TIMER = """() => {
    window.longest = 0;
    let due = performance.now() + 50;
    setInterval(() => {
        window.longest = Math.max(window.longest, performance.now() - due);
        due = performance.now() + 50;
    }, 50);
}"""


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _webhook(number: int) -> dict[str, Any]:
    health = "unavailable" if number % 50 == 0 else "healthy"
    url = f"https://example.com/{number}"
    named = {"id": number, "name": f"webhook {number}", "url": url, "description": None}
    return named | {"is_active": True, "disabled_reason": None, "health_status": health}


def _cell(number: int) -> dict[str, Any]:
    bars = [None if hour < number % 5 else 1.0 - (hour % 7 == 0) * 0.1 for hour in range(24)]
    return _webhook(number) | {"uptime_24h": 0.99, "bars": bars}


def _alert(number: int) -> dict[str, Any]:
    at = _now()
    deliveries = {"pending": 0, "retrying": 0, "delivered": 3, "failed": 0, "cancelled": 0}
    times = {"created_at": at, "updated_at": at, "snoozed_until": None}
    said = {"title": f"Disk {number} almost full", "message": "/var", "labels": {"host": "db-1"}}
    return {
        "id": number,
        "severity": ("info", "warning", "critical")[number % 3],
        "source": "bench",
        "count": 1,
        "status": "pending",
        "deliveries": deliveries,
        **times,
        **said,
    }


def _delivery(number: int) -> dict[str, Any]:
    attempt = {"at": _now(), "http_status": 204, "latency_ms": 2.0, "reason": "accepted"}
    return {"id": number, "alert_id": 0, "webhook_id": 1, "status": "delivered"} | {
        "attempts": [attempt]
    }


MAKERS = {
    "alert": _alert,
    "delivery": _delivery,
    "webhook": lambda number: _webhook(1 + number % 500),
}


def _message(kind: str, seq: int, data: Any) -> str:
    return json.dumps({"type": kind, "seq": seq, "timestamp": _now(), "data": data})


def _snapshot(webhooks: int) -> dict[str, Any]:
    return {
        "source": "stream",
        "metrics": METRICS,
        "alerts": [_alert(number) for number in range(50, 0, -1)],
        "deliveries": [],
        "webhooks": [_webhook(number) for number in range(webhooks, 0, -1)],
        "jobs": [],
        "anomalies": [],
    }


def _play(ws: Any, webhooks: int, per_second: int) -> None:
    ws.send(_message("snapshot", 0, _snapshot(webhooks)))
    begun, told = time.monotonic(), 0
    for second in itertools.count():
        ws.send(_message("metrics", told, METRICS))
        while told < (second + 1) * per_second:
            # In small bursts, as the stream gathers them.
            while told < (time.monotonic() - begun) * per_second:
                told += 1
                kind = KINDS[told % len(KINDS)]
                ws.send(_message(kind, told, MAKERS[kind](1000 + told)))  # type: ignore[no-untyped-call]
            time.sleep(0.02)
        time.sleep(max(0.0, begun + second + 1 - time.monotonic()))


def _server(webhooks: int, per_second: int) -> Flask:
    app = Flask("app.web")
    sock: Any = Sock(app)
    answers = {
        "auth/login": TOKENS,
        "auth/me": ME,
        "auth/ws-ticket": {"ticket": "t"},
        "dashboard/alerts": {"items": []},
        "dashboard/webhooks": {"items": [_cell(number) for number in range(1, webhooks + 1)]},
        "dashboard/deliveries": {"step": 60, "outcomes": {"delivered": [], "failed": []}},
        "metrics/operations": {"items": []},
    }

    @app.get("/")
    def page() -> str:
        return render_template(
            "dashboard.html", assets="/assets", digest="bench", modules=[], flower_url="/"
        )

    @app.get("/assets/<string:name>")
    def asset(name: str) -> Response:
        file = DASHBOARD / name
        return Response(file.read_bytes(), mimetype=TYPES[file.suffix])

    @app.route("/api/v1/<path:path>", methods=["GET", "POST"])
    def api(path: str) -> tuple[Any, int]:
        return (answers[path], 200) if path in answers else ({"detail": "not here"}, 404)

    @sock.route("/api/v1/ws/dashboard")  # type: ignore[untyped-decorator]
    def stream(ws: Any) -> None:
        # Until the page is closed.
        with suppress(OSError, ConnectionClosed):
            _play(ws, webhooks, per_second)

    return app


@contextmanager
def _serving(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()


def _chromium() -> str:
    found = shutil.which("chromium")
    return found or sys.exit("chromium is not installed")


def _measure(webhooks: int, per_second: int, seconds: int) -> dict[str, float]:
    """Ms of the main thread a second, by what it did, and the longest wait in ms."""
    with _serving(_server(webhooks, per_second)) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.fill("#username", "bench")
        page.fill("#password", "bench")
        page.click("#sign-in-button")
        page.wait_for_function(f"document.querySelectorAll('.card').length === {webhooks}")
        page.wait_for_timeout(SETTLE_MS)
        tools = page.context.new_cdp_session(page)
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.evaluate(TIMER)
        before = _spent(tools)
        page.wait_for_timeout(seconds * 1000)
        after = _spent(tools)
        longest = page.evaluate("window.longest")
        browser.close()
    spent = {name: (after[name] - before[name]) * 1000 / seconds for name in after}
    return spent | {"longest": longest}


def _spent(tools: CDPSession) -> dict[str, float]:
    """Seconds of the main thread, by what it did."""
    metrics = tools.send("Performance.getMetrics")["metrics"]
    return {one["name"]: one["value"] for one in metrics if one["name"].endswith("Duration")}


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--webhooks", type=positive, default=500)
    parser.add_argument("--seconds", type=positive, default=10)
    given = parser.parse_args()
    print(title(f"the dashboard in Chromium: {given.webhooks} webhooks; ms of its thread a second"))
    print(row(WIDTHS, "messages/s", "script", "style and layout", "all", "longest wait"))
    for per_second in (1, 100, 1000):
        spent = _measure(given.webhooks, per_second, given.seconds)
        style = spent["RecalcStyleDuration"] + spent["LayoutDuration"]
        cells = [spent["ScriptDuration"], style, spent["TaskDuration"], spent["longest"]]
        print(row(WIDTHS, str(per_second), *(f"{cell:.0f}" for cell in cells)))


if __name__ == "__main__":
    main()
