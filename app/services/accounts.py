"""People: who they are, what they may, and how they sign in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.adapters.passwords import hash_password, password_matches
from app.domain.access import Role
from app.errors import Conflict, NotFound, Unauthenticated
from app.services.paging import Page, PageRequest, paginate
from models import User


def ensure_admin(session: Session, username: str, password: str) -> None:
    """Make the first admin, or give the configured one the configured password.

    An existing admin keeps its password: people change it, and a restart must not undo that.
    """
    session.execute(
        insert(User)
        .values(
            username=username.lower(),
            password_hash=hash_password(password),
            role=Role.ADMIN,
        )
        .on_conflict_do_nothing(index_elements=[User.username])
    )


def who_claims(session: Session, username: str) -> User | None:
    """The user of this name, for `require_password`."""
    return session.scalar(select(User).where(User.username == username.lower()))


def require_password(user: User | None, password: str) -> User:
    """The user, or Unauthenticated. An unknown name costs as much time as a wrong password.

    To be called when no transaction is open: that is a lot of work.
    """
    matches = password_matches(user.password_hash if user else None, password)
    if user is None or not matches or not user.is_active:
        raise Unauthenticated("The username or the password is wrong.")
    return user


def with_password_hash(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same with `password_hash` in place of `password`, if there is one.

    To be called when no transaction is open: that is a lot of work.
    """
    hashed = dict(data)
    if "password" in hashed:
        hashed["password_hash"] = hash_password(hashed.pop("password"))
    return hashed


def get_user(session: Session, user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def find_user(session: Session, username: str) -> User:
    user = session.scalar(select(User).where(User.username == username.lower()))
    if user is None:
        raise NotFound("There is no such user.")
    return user


def list_users(session: Session, request: PageRequest) -> Page[User]:
    return paginate(session, select(User), User.id, request)


def create_user(session: Session, data: Mapping[str, Any]) -> User:
    """From data with its password hashed. Raises Conflict when the name is taken."""
    user: User | None = session.scalar(
        insert(User)
        .values(
            username=data["username"].lower(),
            password_hash=data["password_hash"],
            role=data["role"],
            is_active=data["is_active"],
        )
        .on_conflict_do_nothing(index_elements=[User.username])
        .returning(User)
    )
    if user is None:
        raise Conflict("There is a user of this name already.")
    return user


def change_user(session: Session, now: datetime, user_id: int, changes: Mapping[str, Any]) -> User:
    """Change password (hashed), role or activity. The last active admin can't be lost."""
    _lock_admins(session)
    user = get_user(session, user_id)
    user.password_hash = changes.get("password_hash", user.password_hash)
    user.role = changes.get("role", user.role)
    user.is_active = changes.get("is_active", user.is_active)
    user.updated_at = now
    session.flush()
    _keep_an_admin(session)
    return user


def delete_user(session: Session, user_id: int) -> None:
    _lock_admins(session)
    session.delete(get_user(session, user_id))
    session.flush()
    _keep_an_admin(session)


def _lock_admins(session: Session) -> None:
    """Of two requests that each remove an admin, the second waits for the first.

    Before anything is changed, and in one order: else each would hold what the other wants.
    """
    session.execute(
        select(User.id).where(User.role == Role.ADMIN).order_by(User.id).with_for_update()
    )


def _keep_an_admin(session: Session) -> None:
    admins = session.scalar(
        select(func.count()).where(User.role == Role.ADMIN, User.is_active.is_(True))
    )
    if not admins:
        raise Conflict("This is the last active admin; make another one first.")
