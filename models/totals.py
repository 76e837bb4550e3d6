"""What all processes have counted of themselves since the database was made."""

from sqlalchemy import ARRAY, BigInteger, Float, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ANALYTICS_SCHEMA, Base


class MeterTotal(Base):
    """A counter, or a histogram with `sum` and `buckets`: how many values fell between two edges of
    `app.domain.totals.EDGES`, not cumulated. There are as many as Tocsin's own code names.
    """

    __tablename__ = "meter_totals"
    # Room beside each row for its next version: all are written every few seconds.
    __table_args__ = ({"schema": ANALYTICS_SCHEMA, "postgresql_with": {"fillfactor": 50}},)

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    labels: Mapped[dict[str, str]] = mapped_column(JSONB, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    sum: Mapped[float] = mapped_column(Float)
    buckets: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
