"""The words and colours that the shapes share."""

from collections.abc import Mapping
from typing import Any

COLOURS = {"critical": "#D93025", "warning": "#F2A600", "info": "#2F80ED"}
RESOLVED, ACKNOWLEDGED, OTHER = "#2EB67D", "#808080", "#616061"


def summary_of(message: Mapping[str, Any]) -> str:
    """A message in one line: `[critical] Disk almost full (and 2 more)`."""
    data = message["data"]
    kind = message["type"]
    if kind == "webhook.ping":
        return f"Tocsin: a test message for {data.get('name')}"
    said = {
        "alert.acknowledged": f"acknowledged by {data.get('acknowledged_by')}",
        "alert.resolved": "resolved",
    }.get(kind, str(data.get("severity")))
    if "reminder" in data:
        said += f", reminder {data['reminder']}"
    if "step" in data:
        said += f", step {data['step']}"
    others = data.get("group", {}).get("count", 1) - 1
    more = f" (and {others} more)" if others > 0 else ""
    return f"[{said}] {data.get('title')}{more}"


def colour_of(message: Mapping[str, Any]) -> str:
    kind = message["type"]
    if kind == "alert.resolved":
        return RESOLVED
    if kind == "alert.acknowledged":
        return ACKNOWLEDGED
    return COLOURS.get(message["data"].get("severity"), OTHER)


def facts_of(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is to be listed beneath the text: source and labels."""
    data = message["data"]
    facts = [("source", data["source"])] if data.get("source") else []
    return facts + list(data.get("labels", {}).items())


def footer_of(message: Mapping[str, Any]) -> str:
    data = message["data"]
    return f"Tocsin, alert {data['id']}" if "id" in data else "Tocsin"


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
