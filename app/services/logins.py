"""Logins that failed, counted in PostgreSQL: for all web processes, and across restarts."""

from datetime import datetime
from hashlib import blake2b

import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from app.domain.lockout import OF_ADDRESS, OF_USER, OF_USER_AND_ADDRESS, WINDOW, refused_until
from app.errors import TooManyRequests
from models import FailedLogin

log = structlog.get_logger(__name__)

# So many beyond what is free make no wait longer than it is.
BEYOND = 10


def require_hearing(session: Session, now: datetime, username: str, address: str) -> None:
    """Raises TooManyRequests where too much failed lately for this attempt to be heard.

    Whether there is such a user makes no difference. What is refused here is not counted, so
    nobody keeps a door shut by knocking.
    """
    by_name = FailedLogin.name_digest == _digest(username)
    by_address = FailedLogin.address == address
    for allowance, condition in (
        (OF_USER_AND_ADDRESS, by_name & by_address),
        (OF_USER, by_name),
        (OF_ADDRESS, by_address),
    ):
        failed_at = session.scalars(
            select(FailedLogin.at)
            .where(condition, FailedLogin.at > now - WINDOW)
            .order_by(FailedLogin.at.desc())
            .limit(allowance.failures + BEYOND)
        ).all()
        until = refused_until(failed_at, allowance)
        if until is not None and until > now:
            log.warning("login refused", action="login_refused", counted_by=allowance.name)
            raise TooManyRequests(
                "Too many logins failed. Try again later.",
                retry_after_seconds=int((until - now).total_seconds()) + 1,
            )


def note_failure(session: Session, now: datetime, username: str, address: str) -> None:
    session.execute(
        insert(FailedLogin).values(name_digest=_digest(username), address=address, at=now)
    )


def forget_failures(session: Session, username: str, address: str) -> None:
    """After a login: whoever it was that mistyped is here."""
    session.execute(
        delete(FailedLogin).where(
            FailedLogin.name_digest == _digest(username), FailedLogin.address == address
        )
    )


def _digest(username: str) -> bytes:
    """In place of the name, since people type passwords there."""
    return blake2b(username.lower().encode(errors="surrogatepass"), digest_size=16).digest()
