"""Who may: people, machines' keys, and tokens that count no more."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp, UpdatedAt


class User(Base):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),
        # Two names that differ by case only would be one person's typing mistake.
        CheckConstraint("username = lower(username)", name="username_lower"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    username: Mapped[str] = mapped_column(Text, unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default="true")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class ApiKey(Base):
    """A machine's key. Only its SHA-256 is kept: the key is long and random, so that is enough."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    role: Mapped[str] = mapped_column(Text)
    created_by: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[Timestamp | None]
    expires_at: Mapped[Timestamp | None]


class TokenRevocation(Base):
    """A token's `jti`, or a whole session's `sid`, that counts no more; kept until it expires."""

    __tablename__ = "token_revocations"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[Timestamp] = mapped_column(index=True)


class WsTicket(Base):
    """A ticket that opens one WebSocket. Only its SHA-256 is kept. It speaks for whom it was given
    to, with the token that he had: it is worth no more than that one."""

    __tablename__ = "ws_tickets"
    __table_args__ = (
        CheckConstraint("kind IN ('user', 'api_key')", name="kind"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    ticket_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    kind: Mapped[str] = mapped_column(Text)
    principal_id: Mapped[int] = mapped_column(BigInteger)
    session_id: Mapped[str | None] = mapped_column(Text)
    token_id: Mapped[str | None] = mapped_column(Text)
    token_expires_at: Mapped[Timestamp | None]
    expires_at: Mapped[Timestamp] = mapped_column(index=True)


class FailedLogin(Base):
    """A login that failed. Of the name there is a digest only: people type passwords there."""

    __tablename__ = "failed_logins"
    __table_args__ = (
        Index("ix_failed_logins_name", "name_digest", "at"),
        Index("ix_failed_logins_address", "address", "at"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    name_digest: Mapped[bytes] = mapped_column(LargeBinary)
    address: Mapped[str] = mapped_column(Text)
    at: Mapped[CreatedAt] = mapped_column(index=True)
