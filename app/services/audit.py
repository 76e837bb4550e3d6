"""The audit log: who acts, and what was changed. Triggers write it (migration 0015).

Who acts is known where a request, or a command, comes in, and needed where a transaction begins.
What lies between need not know of it, so it is a context variable and not an argument of all.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import orjson
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.domain.audit import Actor
from app.services.paging import Page, PageRequest, paginate
from models import AuditEntry

_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


def act_as(actor: Actor | None) -> None:
    """Whoever acts in this context from now on; None: the system itself."""
    _acting.set(actor)


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """The same, until the end of the block."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def acting() -> str:
    """The setting for a transaction that begins now; empty where the system itself acts."""
    actor = _acting.get()
    return orjson.dumps(actor).decode() if actor is not None else ""


_RECORD = text(
    """
    INSERT INTO pggit.audit_log (actor_kind, actor_id, actor_name, address, request_id,
        action, resource, resource_id)
    SELECT COALESCE(who ->> 'kind', 'system'), (who ->> 'id')::bigint,
        COALESCE(who ->> 'name', 'tocsin'), who ->> 'address', who ->> 'request_id',
        :action, :resource, :id
    FROM (SELECT nullif(current_setting('tocsin.actor', true), '')::jsonb AS who) AS w
    """
)


def record(session: Session, action: str, resource: str, resource_id: int) -> None:
    """Note what no trigger watches, since its table changes with every delivery."""
    session.execute(_RECORD, {"action": action, "resource": resource, "id": str(resource_id)})


def list_entries(
    session: Session, filters: Mapping[str, Any], request: PageRequest
) -> Page[AuditEntry]:
    """`filters`: actor (a name), action, resource, resource_id, since, until."""
    conditions = {
        "actor": lambda value: AuditEntry.actor_name == value,
        "action": lambda value: AuditEntry.action == value,
        "resource": lambda value: AuditEntry.resource == value,
        "resource_id": lambda value: AuditEntry.resource_id == value,
        "since": lambda value: AuditEntry.at >= value,
        "until": lambda value: AuditEntry.at < value,
    }
    statement = select(AuditEntry).where(*(conditions[name](filters[name]) for name in filters))
    return paginate(session, statement, AuditEntry.id, request)
