"""A query: what it is called, what it reads, how it is answered and how long that is good for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from sqlalchemy.orm import Session

from app.adapters.asking import Asking
from app.adapters.cipher import Cipher
from app.domain.snapshot import Snapshot
from app.services.paging import Page, PageRequest, page_answer

Arguments = Mapping[str, Any]


class Priority(StrEnum):
    """How often it is warmed, if somebody asked lately."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass
class Reading:
    """What a load works with: a session, and what answers need beside the database.

    `schedule` has the jobs by name, as beat has them.
    """

    session: Session
    now: datetime
    cipher: Cipher
    schedule: Mapping[str, Mapping[str, Any]]


# Raises NotFound.
Load = Callable[[Reading, Arguments], Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read, or a NotFound, and by which snapshot and when."""

    value: Any
    snapshot: Snapshot
    now: datetime


@dataclass(frozen=True, slots=True)
class AtOnce:
    """A load without a transaction around it, for what is asked most: one round trip, not four.

    The first statement of `read` says by which snapshot it reads.
    """

    read: Callable[[Asking, Arguments], Seen]


@dataclass(frozen=True, slots=True)
class Query:
    """`load` answers with what JSON can hold, times included.

    `reads` are all tables (`schema.table`) that it reads: a write to one of them ends its answers.
    `ttl` is in seconds; None: CACHE_TTL_SECONDS. It is shorter for what changes by the clock alone.
    What is not `shared` holds what is encrypted at rest, so it never leaves the process.
    """

    name: str
    reads: frozenset[str]
    load: Load | AtOnce
    ttl: float | None = None
    priority: Priority | None = None
    shared: bool = True

    def is_shared(self, arguments: Arguments) -> bool:
        """Whether other processes are to have this answer: hardly anybody asks for the same page
        but the first, and the second level is small."""
        return self.shared and arguments.get("cursor") is None

    def key(self, arguments: Arguments) -> str:
        """One text for a query with its arguments, whatever their order: `alerts.list?limit=20`."""
        given = "&".join(
            [
                f"{name}={value if type(value) is int else _quoted(_text(value))}"
                for name, value in sorted(arguments.items())
                if value is not None
            ]
        )
        return f"{self.name}?{given}"


# Few texts are asked for again and again.
_quoted = lru_cache(1024)(quote)


def _text(value: Any) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return "&".join(f"{quote(name)}={quote(one)}" for name, one in sorted(value.items()))
        case list():
            return ",".join(map(str, value))
    return str(value)


def page_request(arguments: Arguments) -> tuple[dict[str, Any], PageRequest]:
    """The filters of a list, and which page of it."""
    filters = {name: value for name, value in arguments.items() if name not in {"limit", "cursor"}}
    return filters, PageRequest(arguments["limit"], arguments.get("cursor"))


def listed(
    find: Callable[[Reading, dict[str, Any], PageRequest], "Page[Any]"],
    present: Callable[[Any], Any],
) -> Callable[[Reading, Arguments], dict[str, Any]]:
    """A load of a list. Its arguments are `limit`, `cursor` (an id, or None) and the filters."""

    def load(reading: Reading, arguments: Arguments) -> dict[str, Any]:
        page = find(reading, *page_request(arguments))
        return page_answer(page, [present(item) for item in page.items])

    return load
