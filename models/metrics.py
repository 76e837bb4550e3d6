"""Time series: what came in, raw and rolled up."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ANALYTICS_SCHEMA, Base, CreatedAt, Id, Timestamp


class MetricSeries(Base):
    """One operation with one set of labels. Samples and rollups refer to it by `id`, without a
    foreign key, which would be asked for each of their rows; a series goes only after them.

    `labels` has sorted names. `seen_at`: when a process last asked for the id, which it may then
    use for a while.
    """

    __tablename__ = "metric_series"
    __table_args__ = (UniqueConstraint("operation", "labels"), {"schema": ANALYTICS_SCHEMA})

    id: Mapped[Id]
    operation: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column(JSONB, server_default="{}")
    unit: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[CreatedAt]
    seen_at: Mapped[CreatedAt]
    last_sample_at: Mapped[Timestamp | None]


# Raw samples, a partition a day. No key: two equal samples are two samples.
metric_samples = Table(
    "metric_samples",
    Base.metadata,
    Column("series_id", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("value", Float(53), nullable=False),
    Index("ix_metric_samples_series_id_at", "series_id", "at"),
    schema=ANALYTICS_SCHEMA,
    postgresql_partition_by="RANGE (at)",
)


class MetricRollup(Base):
    """All samples of a series in one bucket of 60, 300 or 3600 seconds; `at` is its start.

    `m2` is the sum of squared deviations from the mean, `sketch` a serialised
    `kll_doubles_sketch`. Partitioned by resolution and time, so that retention drops tables.
    """

    __tablename__ = "metric_rollups"
    __table_args__ = (
        {"schema": ANALYTICS_SCHEMA, "postgresql_partition_by": "RANGE (resolution, at)"},
    )

    resolution: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    series_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    sum: Mapped[float] = mapped_column(Float(53))
    m2: Mapped[float] = mapped_column(Float(53))
    min: Mapped[float] = mapped_column(Float(53))
    max: Mapped[float] = mapped_column(Float(53))
    sketch: Mapped[bytes] = mapped_column(LargeBinary)


class MetricInbox(Base):
    """Samples that were accepted and are not rolled up yet: one row a request.

    `payload` is packed as app/domain/samples.py says.
    """

    __tablename__ = "metric_inbox"
    __table_args__: tuple[Any, ...] = ({"schema": ANALYTICS_SCHEMA},)

    id: Mapped[Id]
    received_at: Mapped[CreatedAt] = mapped_column(server_default=func.now())
    samples: Mapped[int] = mapped_column(Integer)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class MetricPart(Base):
    """A rollup of a part of a minute, made where the values arose, and not merged yet.

    `at` is the start of the minute.
    """

    __tablename__ = "metric_parts"
    __table_args__: tuple[Any, ...] = ({"schema": ANALYTICS_SCHEMA},)

    id: Mapped[Id]
    series_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[Timestamp]
    count: Mapped[int] = mapped_column(BigInteger)
    sum: Mapped[float] = mapped_column(Float(53))
    m2: Mapped[float] = mapped_column(Float(53))
    min: Mapped[float] = mapped_column(Float(53))
    max: Mapped[float] = mapped_column(Float(53))
    sketch: Mapped[bytes] = mapped_column(LargeBinary)
