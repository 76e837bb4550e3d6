"""Who may: roles, from the least to the most, and who is asking."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # acknowledges and sends
    ADMIN = "admin"  # changes

    @property
    def rank(self) -> int:
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a user, or a machine with an API key.

    `session_id` is the login that a user's tokens belong to, `token_id` this token; after
    `expires_at` these credentials count no more (None: they do not expire).
    """

    kind: str
    id: int
    name: str
    role: Role
    session_id: str | None = None
    token_id: str | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> str:
        """One text that names this principal for ever, e.g. `user:1`."""
        return f"{self.kind}:{self.id}"


def may(role: Role, needed: Role) -> bool:
    return role.rank >= needed.rank
