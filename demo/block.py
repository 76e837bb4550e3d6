"""What the demo says: where to look, and how it goes."""

import json
import shlex
import sys
import urllib.request
from pathlib import Path
from typing import Any

from app.settings import Settings
from demo.ports import receiver_url

TIMEOUT_SECONDS = 1.0


def told(settings: Settings) -> str:
    """Below the ready block."""
    url = settings.local_url
    flower = f"http://127.0.0.1:{settings.flower_port}/{settings.flower_url_prefix}".rstrip("/")
    folder = _short(settings.data_dir)
    command = _short(Path(sys.executable).with_name("tocsin"))
    places = [
        (f"{url}/", "the dashboard, with the login above"),
        (flower, "Flower: which task ran where, with the same login"),
        (f"{url}/api/docs", "every route, to try out"),
        (receiver_url(), "what its webhooks have received"),
    ]
    width = max(len(place) for place, _what in places)
    ask = 'curl -sS -H "Authorization: Bearer $TOKEN"'
    questions = ("webhooks?health_status=unavailable", "anomalies?limit=3", "alerts/1/explain")
    return "\n".join(
        [
            "",
            "The demo is running; within a minute all of it is alive.",
            *(f"  {place:<{width}}  {what}" for place, what in places),
            "Who is down, what is unusual, and why somebody was told (TOKEN as above):",
            *(f"  {ask} '{url}/api/v1/{question}'" for question in questions),
            "From the terminal:",
            f"  DATA_DIR={shlex.quote(str(folder))} {command} top",
        ]
    )


def status() -> str | None:
    """One line; None while the receiver doesn't answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(receiver_url(), timeout=TIMEOUT_SECONDS) as answer:
            counts: dict[str, dict[str, Any]] = json.load(answer)["webhooks"]
    except (OSError, ValueError, KeyError):
        return None
    received = sum(one["received"] for one in counts.values())
    accepted = sum(one["accepted"] for one in counts.values())
    forged = sum(one["bad_signatures"] for one in counts.values())
    return (
        f"Demo: {received} messages have come, {accepted} accepted,"
        f" {received - accepted} turned away; {forged} badly signed."
    )


def _short(path: Path) -> Path:
    """As one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
