"""Tokens that count no more, and whose they are."""

from datetime import datetime

import structlog
from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.domain.access import Principal, Role
from app.settings import REFRESH_TOKEN_LIFE
from models import TokenRevocation, User

log = structlog.get_logger(__name__)


def revoke(session: Session, token_or_session_id: str, expires_at: datetime) -> bool:
    """Make a token, or all tokens of a login, count no more. False when it was so already."""
    revoked = session.scalar(
        insert(TokenRevocation)
        .values(id=token_or_session_id, expires_at=expires_at)
        .on_conflict_do_nothing()
        .returning(TokenRevocation.id)
    )
    return revoked is not None


def end_if_reused(session: Session, now: datetime, token_id: str, session_id: str) -> bool:
    """Of a refresh token that counts no more: where it was used before, end its whole login.

    One of the two who had it has stolen it, and nobody knows which (RFC 9700, 4.14.2).
    """
    was_used = session.get(TokenRevocation, token_id) is not None
    ended = was_used and revoke(session, session_id, now + REFRESH_TOKEN_LIFE)
    if ended:
        log.warning("refresh token used twice", action="refresh_token_reused")
    return ended


def principal_of(
    session: Session, user_id: int, token_id: str, session_id: str, expires_at: datetime | None
) -> Principal | None:
    """Who a good token speaks for, with the role as it is now; None when it counts no more."""
    revoked = exists().where(TokenRevocation.id.in_([token_id, session_id]))
    user = session.scalar(
        select(User).where(User.id == user_id, User.is_active.is_(True), ~revoked)
    )
    if user is None:
        return None
    role = Role(user.role)
    return Principal("user", user.id, user.username, role, session_id, token_id, expires_at)
