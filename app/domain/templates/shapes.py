"""The shapes of well-known receivers, within the limits that each of them documents.

Slack and Mattermost: incoming webhooks with an attachment. Discord: Execute Webhook with an embed.
PagerDuty: Events API v2.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from app.domain.templates.words import colour_of, cut, facts_of, footer_of, summary_of

CHAT_TEXT_CHARS, CHAT_SUMMARY_CHARS, CHAT_FACTS, CHAT_FACT_CHARS = 3000, 1000, 10, 500
DISCORD_CONTENT_CHARS, DISCORD_TITLE_CHARS, DISCORD_TEXT_CHARS = 2000, 256, 2000
# All of an embed is 6,000 characters at most.
DISCORD_FACTS, DISCORD_FACT_CHARS = 10, 200
PAGERDUTY_SUMMARY_CHARS, PAGERDUTY_SOURCE_CHARS = 1024, 255
_TO_ALL = re.compile(r"@(?=(?:all|channel|here)\b)", re.IGNORECASE)
_ACTIONS = {
    "alert.firing": "trigger",
    "alert.acknowledged": "acknowledge",
    # Of an incident that nobody knows: taken, and nobody is woken by a test.
    "webhook.ping": "resolve",
    "alert.resolved": "resolve",
}


def slack(message: Mapping[str, Any]) -> dict[str, Any]:
    return _chat(message, _for_slack)


def mattermost(message: Mapping[str, Any]) -> dict[str, Any]:
    return _chat(message, _for_mattermost)


def _for_slack(text: str) -> str:
    """As Slack asks for it; so no alert can mention a channel, or link to somewhere else."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _for_mattermost(text: str) -> str:
    """An alert's text mentions nobody: a space of no width breaks `@channel`."""
    return _TO_ALL.sub("@\u200b", text)


def _chat(message: Mapping[str, Any], safe: Callable[[str], str]) -> dict[str, Any]:
    line = safe(cut(summary_of(message), CHAT_SUMMARY_CHARS))
    attachment: dict[str, Any] = {
        "color": colour_of(message),
        "fallback": line,
        "footer": footer_of(message),
        "fields": [
            {"title": safe(name), "value": safe(cut(value, CHAT_FACT_CHARS)), "short": True}
            for name, value in facts_of(message)[:CHAT_FACTS]
        ],
    }
    text = message["data"].get("message")
    if text:
        attachment["text"] = safe(cut(text, CHAT_TEXT_CHARS))
    return {"text": line, "attachments": [attachment]}


def discord(message: Mapping[str, Any]) -> dict[str, Any]:
    line = summary_of(message)
    return {
        "content": cut(line, DISCORD_CONTENT_CHARS),
        # An alert's text mentions nobody.
        "allowed_mentions": {"parse": []},
        "embeds": [
            {
                "title": cut(str(message["data"].get("title") or line), DISCORD_TITLE_CHARS),
                "description": cut(message["data"].get("message") or "", DISCORD_TEXT_CHARS),
                "color": int(colour_of(message).removeprefix("#"), 16),
                "timestamp": message["timestamp"],
                "footer": {"text": footer_of(message)},
                # Empty ones are refused.
                "fields": [
                    {"name": name, "value": cut(value, DISCORD_FACT_CHARS) or "–", "inline": True}
                    for name, value in facts_of(message)[:DISCORD_FACTS]
                ],
            }
        ],
    }


def pagerduty(message: Mapping[str, Any], routing_key: str) -> dict[str, Any]:
    data, action = message["data"], _ACTIONS[message["type"]]
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": f"tocsin-alert-{data['id']}" if "id" in data else "tocsin-ping",
    }
    if action == "trigger":
        event["payload"] = {
            "summary": cut(summary_of(message), PAGERDUTY_SUMMARY_CHARS),
            "source": cut(data.get("source") or "tocsin", PAGERDUTY_SOURCE_CHARS),
            "severity": data["severity"],
            "timestamp": data["created_at"],
            "custom_details": {
                name: data[name]
                for name in ("id", "title", "message", "labels", "count", "group")
                if name in data
            },
        }
    return event
