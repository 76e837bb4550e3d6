"""Who is told of what: routing rules, silences, inhibition, groups, and what falls due later."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import SCHEMA, Base, CreatedAt, Id, Timestamp, UpdatedAt


class RoutingRule(Base):
    """Rules are tried by `position`, then by id; the first that matches ends it, unless it
    `continues`. `steps` are [{after_minutes, webhook_ids}], `matchers` [{name, op, value}].

    One that is deleted stays for its groups, until their alerts are gone.
    """

    __tablename__ = "routing_rules"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(Integer, server_default="0")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    matchers: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default="[]")
    webhook_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    continues: Mapped[bool] = mapped_column(server_default="false")
    group_by: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    group_wait_seconds: Mapped[int] = mapped_column(Integer, server_default="30")
    group_interval_seconds: Mapped[int] = mapped_column(Integer, server_default="300")
    repeat_minutes: Mapped[int | None] = mapped_column(Integer)
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    deleted_at: Mapped[Timestamp | None]


class Silence(Base):
    """While it is in force, what its matchers match is recorded and told to nobody.

    `recurrence` null: from `starts_at` to `ends_at`, once. Otherwise within these, at the hours
    of the days that it names, in its time zone.
    """

    __tablename__ = "silences"
    __table_args__ = (
        CheckConstraint("kind IN ('silence', 'maintenance')", name="kind"),
        CheckConstraint("ends_at IS NULL OR ends_at > starts_at", name="ends_after_start"),
        Index("ix_silences_ends_at", "ends_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    kind: Mapped[str] = mapped_column(Text, server_default="silence")
    comment: Mapped[str | None] = mapped_column(Text)
    matchers: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    starts_at: Mapped[Timestamp]
    ends_at: Mapped[Timestamp | None]
    recurrence: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class InhibitionRule(Base):
    """While an alert that `source_matchers` match is open, alerts that `target_matchers` match
    and that have the same values of the labels in `equal` are muted.
    """

    __tablename__ = "inhibition_rules"
    __table_args__ = ({"schema": SCHEMA},)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(server_default="true")
    source_matchers: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    target_matchers: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    equal: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class AlertGroup(Base):
    """Alerts of one rule with the same values of its `group_by` labels (`labels`; `key` is their
    canonical text). `flush_at` is when its news go out, null while there are none.
    """

    __tablename__ = "alert_groups"
    __table_args__ = (
        UniqueConstraint("rule_id", "key"),
        Index("ix_alert_groups_flush_at", "flush_at", postgresql_where="flush_at IS NOT NULL"),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    rule_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.routing_rules.id", ondelete="CASCADE")
    )
    key: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column(JSONB)
    flush_at: Mapped[Timestamp | None]
    flushed_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]


class GroupNews(Base):
    """One piece of news of one alert for a group; `event_id` is the message it went out with.

    `dropped_reason` says why it never goes out: superseded, say.
    """

    __tablename__ = "alert_group_news"
    __table_args__ = (
        Index(
            "ix_alert_group_news_waiting",
            "group_id",
            postgresql_where="event_id IS NULL AND dropped_reason IS NULL",
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    group_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.alert_groups.id", ondelete="CASCADE"), index=True
    )
    alert_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.alerts.id", ondelete="CASCADE"), index=True
    )
    type: Mapped[str] = mapped_column(Text)
    event_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.alert_events.id", ondelete="CASCADE"), index=True
    )
    dropped_reason: Mapped[str | None] = mapped_column(Text)
    dropped_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]


class FollowUp(Base):
    """Something that falls due with an alert later, unless somebody sees to the alert before.

    `unmute`: route it again, since what muted it is over (`waits_for_alert_id` is the alert that
    inhibits it). `escalate`: tell the webhooks of step `number`. `remind`: tell those again who
    were told, and again after `repeat_minutes`; `number` counts the reminders.
    `outcome` says what came of it once it is done: sent, acknowledged, resolved …
    """

    __tablename__ = "alert_follow_ups"
    __table_args__ = (
        CheckConstraint("kind IN ('unmute', 'escalate', 'remind')", name="kind"),
        Index("ix_alert_follow_ups_due_at", "due_at", postgresql_where="done_at IS NULL"),
        Index(
            "ix_alert_follow_ups_waits_for",
            "waits_for_alert_id",
            postgresql_where="done_at IS NULL AND waits_for_alert_id IS NOT NULL",
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[Id]
    alert_id: Mapped[int] = mapped_column(
        ForeignKey(f"{SCHEMA}.alerts.id", ondelete="CASCADE"), index=True
    )
    rule_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.routing_rules.id", ondelete="SET NULL"), index=True
    )
    kind: Mapped[str] = mapped_column(Text)
    number: Mapped[int] = mapped_column(Integer, server_default="0")
    webhook_ids: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    waits_for_alert_id: Mapped[int | None] = mapped_column(BigInteger)
    repeat_minutes: Mapped[int | None] = mapped_column(Integer)
    due_at: Mapped[Timestamp]
    done_at: Mapped[Timestamp | None]
    outcome: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
