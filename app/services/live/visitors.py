"""Who watches: how many may, and whether those who do still may."""

import threading
from collections import Counter
from collections.abc import Collection

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.domain.access import Principal
from models import ApiKey, TokenRevocation, User


class Places:
    """Places for sockets, in all and for each user. Thread-safe: taken before, not counted after,
    so that no number of requests at once gets more."""

    def __init__(self, total: int, per_user: int) -> None:
        self._total = total
        self._per_user = per_user
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, user: str) -> bool:
        """Whether there was one."""
        with self._lock:
            if self._taken.total() >= self._total or self._taken[user] >= self._per_user:
                return False
            self._taken[user] += 1
            return True

    def give_back(self, user: str) -> None:
        with self._lock:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]

    @property
    def taken(self) -> int:
        with self._lock:
            return self._taken.total()


def ceased(session: Session, principals: Collection[Principal]) -> set[Principal]:
    """Those whose credentials count no more: signed out, removed, disabled, expired."""
    users = {one for one in principals if one.kind == "user"}
    keys = set(principals) - users
    active = set(
        session.scalars(
            select(User.id).where(User.id.in_([one.id for one in users]), User.is_active.is_(True))
        )
    )
    tokens = [token for one in users for token in (one.token_id, one.session_id)]
    revoked = set(session.scalars(select(TokenRevocation.id).where(TokenRevocation.id.in_(tokens))))
    good_keys = set(
        session.scalars(
            select(ApiKey.id).where(
                ApiKey.id.in_([one.id for one in keys]),
                or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
            )
        )
    )
    return {
        one for one in users if one.id not in active or {one.token_id, one.session_id} & revoked
    } | {one for one in keys if one.id not in good_keys}
