"""Who changed what, when, from where: rows that triggers write, and nobody changes."""

from typing import Any

from sqlalchemy import BigInteger, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id


class AuditEntry(Base):
    """One change of one resource, written by the transaction that made it.

    `before` and `after` have the columns that changed, and all of them where it was made or
    deleted. In place of what is secret they say "(hidden)". Changes of Tocsin's own have the
    `actor_kind` "system".
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_resource", "resource", "resource_id", "id"),
        Index("ix_audit_log_actor", "actor_name", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    at: Mapped[CreatedAt] = mapped_column(index=True)
    actor_kind: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[int | None] = mapped_column(BigInteger)
    actor_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    resource: Mapped[str] = mapped_column(Text)
    resource_id: Mapped[str | None] = mapped_column(Text)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
