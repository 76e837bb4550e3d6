"""What neighbours have told us."""

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Timestamp


class AlertmanagerAlert(Base):
    """One time that an alert of Alertmanager's fired: heard of once, however often it is told.

    `alert_id` is what it became; null where its end was the first that was heard of it.
    """

    __tablename__ = "alertmanager_alerts"
    __table_args__ = (
        Index("ix_alertmanager_alerts_alert_id", "alert_id"),
        Index(
            "ix_alertmanager_alerts_never_raised",
            "created_at",
            postgresql_where="alert_id IS NULL",
        ),
        {"schema": SCHEMA},
    )

    fingerprint: Mapped[str] = mapped_column(Text, primary_key=True)
    starts_at: Mapped[Timestamp] = mapped_column(primary_key=True)
    ends_at: Mapped[Timestamp | None]
    alert_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey(f"{SCHEMA}.alerts.id", ondelete="CASCADE")
    )
    created_at: Mapped[CreatedAt]
