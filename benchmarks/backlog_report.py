"""The table of the backlog benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Gate, at_most, percentile
from benchmarks.report import Report
from benchmarks.tables import row, title

CLAIMS = (52, 12, 12, 12, 12)
DRAIN = (52, 24, 24)
CLAIM_GOAL = 1.2
# The first part of a drain is not its start: connections are dialled, caches are cold.
START, END = (0.05, 0.25), (0.8, 1.0)
FLAT = 1.1


@dataclass(frozen=True)
class Claims:
    """What one queue's claims took, in ms each; `rows` is how many each should take and took."""

    queue: str
    ms: Sequence[float]
    room: int
    rows: Sequence[int]

    @property
    def p50(self) -> float:
        return percentile(self.ms, 0.5)

    @property
    def void(self) -> str | None:
        short = sum(taken < self.room for taken in self.rows)
        return f"{self.queue}: {short} claims took less than {self.room}" if short else None


@dataclass(frozen=True)
class Sample:
    """At so many seconds, so many had been received, and the worker had that many bytes."""

    at: float
    received: int
    rss: int


@dataclass(frozen=True)
class Drain:
    """`expected` deliveries by one worker. `void` says why it does not count.

    `hot_rows` and `delivered_hot_rows` are in the queue's table afterwards.
    """

    expected: int
    samples: Sequence[Sample]
    duplicated: int
    hot_rows: int
    delivered_hot_rows: int
    moved_rows: int
    void: str | None

    def within(self, part: tuple[float, float]) -> list[Sample]:
        """The samples from that share of what was received to that one; at least two."""
        begin, end = (share * self.expected for share in part)
        found = [one for one in self.samples if begin <= one.received <= end]
        return found if len(found) > 1 else [self.samples[0], self.samples[-1]]

    def rate(self, part: tuple[float, float]) -> float:
        first, *_, last = self.within(part)
        return (last.received - first.received) / (last.at - first.at)

    def rss_mib(self, part: tuple[float, float]) -> float:
        """The most in that part."""
        return max(one.rss for one in self.within(part)) / 2**20


@dataclass(frozen=True)
class BacklogReport(Report):
    """`claims` begin with the almost empty queues, which the others are compared with."""

    backlog: int
    history: int
    webhooks: int
    empty: Sequence[Claims]
    full: Sequence[Claims]
    drain: Drain

    @property
    def gates(self) -> list[Gate]:
        found = [
            at_most(f"claim, {full.queue}, to {empty.queue}", CLAIM_GOAL, full.p50 / empty.p50)
            for full in self.full
            for empty in self.empty
        ]
        grown = self.drain.rss_mib(END) / self.drain.rss_mib(START)
        left = self.drain.delivered_hot_rows
        return [
            *found,
            at_most("memory of the worker, end to start", FLAT, grown),
            Gate("delivered rows left in the queue's table", "0", f"{left:,}", left == 0),
        ]

    @property
    def voids(self) -> list[str]:
        return [one.void for one in (*self.empty, *self.full) if one.void] + (
            [f"drain: {self.drain.void}"] if self.drain.void else []
        )

    def as_table(self) -> str:
        drain = self.drain
        base = self.empty[0].p50
        return "\n".join(
            [
                title(
                    f"backlog: {self.backlog:,} due over {self.webhooks:,} webhooks,"
                    f" {self.history:,} delivered"
                ),
                row(CLAIMS, f"a claim of {self.full[0].room}, ms", "p50", "p95", "claims", "ratio"),
                *(
                    row(
                        CLAIMS,
                        one.queue,
                        f"{one.p50:.1f}",
                        f"{percentile(one.ms, 0.95):.1f}",
                        f"{len(one.ms)}",
                        f"{one.p50 / base:.2f}×",
                    )
                    for one in (*self.empty, *self.full)
                ),
                "",
                row(DRAIN, f"one worker drains {drain.expected:,} of it", "start", "end"),
                row(
                    DRAIN, "deliveries per second", *(f"{drain.rate(p):,.0f}" for p in (START, END))
                ),
                row(
                    DRAIN,
                    "the worker's memory, MiB",
                    *(f"{drain.rss_mib(p):.0f}" for p in (START, END)),
                ),
                row(DRAIN, "duplicates", "", f"{drain.duplicated:,}"),
                row(DRAIN, "rows in the queue's table after it", "", f"{drain.hot_rows:,}"),
                row(DRAIN, "of these delivered", "", f"{drain.delivered_hot_rows:,}"),
                row(DRAIN, "rows that it moved to the history", "", f"{drain.moved_rows:,}"),
            ]
        )
