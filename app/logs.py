"""Logs: one structured line an event, JSON or for a person, with secrets taken out.

Lines carry an `action`: a short stable name to search for.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor

REDACTED = "[redacted]"
_SECRET_NAMES = re.compile(
    r"password|secret|token|authorization|api_key|ticket|cookie|encryption_key", re.IGNORECASE
)
_SECRET_TEXTS = re.compile(
    r"(?P<head>\b(?:token|ticket|password|secret)=|Bearer\s+)[^\s&\"']+"
    # Up to the last @: a password may hold anything. Without one, what follows is a port.
    r"|(?P<user>://[^\s/:@]*:)[^\s\"']*(?=@)"
    r"|whsec_[A-Za-z0-9+/=]+|tsk_[A-Za-z0-9_-]+"
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",
    re.IGNORECASE,
)
# What a secret is recognised by, in lower case: without any of these there is none to look for.
_HINTS = ("=", "://", "bearer", "whsec_", "tsk_", "eyj")
# Names of fields are those that the code has, but for what clients send in maps.
NAMES_KNOWN = 1024


def redact(text: str) -> str:
    """The text without tokens, signing secrets, keys and passwords in URLs."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    return _SECRET_TEXTS.sub(lambda found: (found["head"] or found["user"] or "") + REDACTED, text)


@lru_cache(NAMES_KNOWN)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _clean(name: str, value: Any) -> Any:
    if _is_secret(name):
        return REDACTED
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(name, inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    # Of an exception, say, as it would be written: its text may quote a URL with a password.
    return redact(str(value))


def _redact_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: _clean(name, value) for name, value in event.items()}


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Formats our own events without making another record of each, as the parent would: a
    request's line would take twice as long."""

    def __init__(self, shared: list[Processor], final: list[Processor]) -> None:
        meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        super().__init__(foreign_pre_chain=shared, processors=[meta, *final])
        self._final = final

    def format(self, record: logging.LogRecord) -> str:
        if not isinstance(record.msg, dict):
            return super().format(record)
        event: Any = record.msg
        for process in self._final:
            event = process(None, record.levelname, event)
        return str(event)


def _as_json(event: EventDict, **_options: Any) -> str:
    try:
        return orjson.dumps(event).decode()
    except TypeError:
        # Half of a surrogate pair, or a number beyond 64 bits.
        return json.dumps(event, ensure_ascii=False)


def configure(level: str, style: Literal["json", "console"], process: str) -> None:
    """Send all logs, ours and the libraries', to standard error. `process` names who speaks."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _method, event: {"process": process, **event},
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer(_as_json)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    final: list[Processor] = [
        # Here, because a renderer of its own would come after the redaction, and show locals.
        structlog.processors.format_exc_info,
        _redact_event,
        renderer,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(shared, final))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # What they say at INFO for each tick and connection is in the job executions already.
    for noisy in (
        "kombu",
        "amqp",
        "asyncio",
        "alembic.runtime",
        "celery.beat",
        "celery.worker.strategy",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
