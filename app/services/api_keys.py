"""Keys for machines: long, random, shown once, kept as a hash."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.services.paging import Page, PageRequest, paginate
from models import ApiKey

KEY_PREFIX = "tsk_"
SHOWN_CHARS = 12
# `last_used_at` is for people; writing it at every request would be a write at every read.
LAST_USED_EVERY = timedelta(minutes=1)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def create_api_key(
    session: Session, created_by: int | None, data: Mapping[str, Any]
) -> tuple[ApiKey, str]:
    """The row, and the key itself: this is the only time that it is known."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(
        name=data["name"],
        prefix=key[:SHOWN_CHARS],
        key_hash=_hash(key),
        role=data["role"],
        created_by=created_by,
        expires_at=data.get("expires_at"),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return row, key


def list_api_keys(session: Session, request: PageRequest) -> Page[ApiKey]:
    return paginate(session, select(ApiKey), ApiKey.id, request)


def delete_api_key(session: Session, key_id: int) -> None:
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFound("There is no such API key.")
    session.delete(row)


def find_api_key(session: Session, now: datetime, key: str) -> ApiKey | None:
    """The row of a key that counts, or None. Notes that it was used."""
    row = session.scalar(
        select(ApiKey).where(
            ApiKey.key_hash == _hash(key),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
        )
    )
    if row is not None and (row.last_used_at is None or row.last_used_at < now - LAST_USED_EVERY):
        session.execute(update(ApiKey).where(ApiKey.id == row.id).values(last_used_at=now))
    return row
