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
    login = shlex.quote(f"@{folder}/run/login.json")
    token = (
        f"TOKEN=$(curl -sS -H 'Content-Type: application/json' -d {login} {url}/api/v1/auth/login"
        " | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])')"
    )
    ask = f'curl -sS -H "Authorization: Bearer $TOKEN" {url}/api/v1'
    return "\n".join(
        [
            "",
            "The demo is running: within a minute everything below is alive.",
            f"  {url}/          the dashboard; sign in as {settings.admin_username}",
            f"  {flower}           the workers and their tasks, with the same login",
            f"  {url}/api/docs  every route, to try out",
            f"  {receiver_url()}           what its webhooks have received",
            "What is wrong, why somebody was told, and what is unusual:",
            f"  {token}",
            f"  {ask}/webhooks?health_status=unavailable; {ask}/anomalies?limit=3",
            f"  {ask}/deliveries?status=retrying",
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
