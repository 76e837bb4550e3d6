"""What workers tell whoever watches them: trimmed, and with secrets taken out.

Events go to Flower, and to anybody else who reads them from the broker.
"""

from typing import Any

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher

from app.logs import redact

MAX_CHARS = 200
MAX_TRACEBACK_CHARS = 4000
# What a task was given, gave, and failed with. A traceback ends with what is wrong.
_TEXTS = ("args", "kwargs", "result", "exception")


def clean(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an event as they may be seen."""
    cleaned = dict(fields)
    for name in _TEXTS:
        if cleaned.get(name) is not None:
            text = redact(str(cleaned[name]))
            cleaned[name] = text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"
    if cleaned.get("traceback") is not None:
        cleaned["traceback"] = redact(str(cleaned["traceback"]))[-MAX_TRACEBACK_CHARS:]
    return cleaned


class Dispatcher(EventDispatcher):
    """Sends events: a worker's own by `send`, those of who hands out a task by `publish`."""

    def send(self, type: str, *arguments: Any, **fields: Any) -> Any:  # noqa: A002 - Celery's name
        return super().send(type, *arguments, **clean(fields))

    def publish(self, type: str, fields: dict[str, Any], *rest: Any, **named: Any) -> Any:  # noqa: A002
        return super().publish(type, clean(fields), *rest, **named)


class RedactedEvents(Events):
    dispatcher_cls = "tasks.events:Dispatcher"
