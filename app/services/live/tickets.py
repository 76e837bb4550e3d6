"""Tickets for one WebSocket each: a browser can set no header there, and a URL ends in logs.

In PostgreSQL, so that any web process takes them, with Redis or without.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.domain.access import Principal, Role
from app.services.tokens import principal_of
from models import ApiKey, WsTicket

TICKET_LIFE = timedelta(seconds=30)


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


def issue(session: Session, now: datetime, principal: Principal) -> str:
    """A ticket that speaks for the principal, once, within its life."""
    ticket = secrets.token_urlsafe(32)
    session.add(
        WsTicket(
            ticket_hash=_hash(ticket),
            kind=principal.kind,
            principal_id=principal.id,
            session_id=principal.session_id,
            token_id=principal.token_id,
            token_expires_at=principal.expires_at,
            expires_at=now + TICKET_LIFE,
        )
    )
    return ticket


def redeem(session: Session, now: datetime, ticket: str) -> Principal | None:
    """Whom a ticket speaks for; it is used up by that. None for one that is unknown, used or too
    old, or was given to somebody who may no more."""
    row = session.scalar(
        delete(WsTicket)
        .where(WsTicket.ticket_hash == _hash(ticket), WsTicket.expires_at > now)
        .returning(WsTicket)
    )
    if row is None or (row.token_expires_at is not None and row.token_expires_at <= now):
        return None
    if row.kind == "api_key":
        key = session.scalar(select(ApiKey).where(ApiKey.id == row.principal_id))
        if key is None:
            return None
        return Principal(row.kind, key.id, key.name, Role(key.role), expires_at=key.expires_at)
    return principal_of(
        session, row.principal_id, row.token_id, row.session_id, row.token_expires_at
    )
