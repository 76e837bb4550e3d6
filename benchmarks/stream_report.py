"""What the benchmark of the stream measured, and its goals."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import tables
from benchmarks.figures import Gate, at_least, at_most, percentile, ratio_of_medians
from benchmarks.report import Report

TITLES = {
    "tocsin": "Tocsin, from Redis to all readers",
    "peer": "websockets.broadcast",
    "stalled": "Tocsin, and one more that never reads",
}
WIDTHS = (42, 18, 20, 20)
STEAL_PERCENT = 5.0
SANE_P99_MS = 1000.0


@dataclass(frozen=True)
class Round:
    """Messages that readers got, a second; the server's CPU for each, in µs, which tells most on a
    machine that others use too; from sending one message to the last of all readers."""

    contestant: str
    rate: float
    cpu_us: float
    single_p50_ms: float
    single_p95_ms: float
    steal_percent: float


@dataclass(frozen=True)
class Held:
    """Answers of REST while so many sockets were held; `told` messages went out to them."""

    sockets: int
    answers: int
    p50_ms: float
    p99_ms: float
    told: int

    @classmethod
    def of(cls, sockets: int, took: Sequence[float], told: int) -> "Held":
        return cls(sockets, len(took), percentile(took, 0.5), percentile(took, 0.99), told)


@dataclass(frozen=True)
class StreamReport(Report):
    readers: int
    rounds: Sequence[Round]
    held: Sequence[Held]

    def _of(self, name: str) -> list[Round]:
        return [one for one in self.rounds if one.contestant == name]

    def _rates(self, name: str) -> list[float]:
        return [one.rate for one in self._of(name) if one.steal_percent <= STEAL_PERCENT]

    @property
    def gates(self) -> Sequence[Gate]:
        ours, stalled = self._rates("tocsin"), self._rates("stalled")
        with_sockets = self.held[-1]
        return [
            at_least(
                f"{self.readers} readers, beside websockets.broadcast",
                1,
                ratio_of_medians(ours, self._rates("peer")),
                2,
            ),
            at_most("what one that stalls costs the others", 1.1, ratio_of_medians(ours, stalled)),
            Gate(
                f"REST p99 while {with_sockets.sockets} sockets are held",
                f"< {SANE_P99_MS:g} ms",
                f"{with_sockets.p99_ms:.0f} ms",
                with_sockets.p99_ms < SANE_P99_MS,
            ),
        ]

    @property
    def voids(self) -> Sequence[str]:
        return [
            f"{TITLES[one.contestant]}: {one.steal_percent:.0f} % of the processors were stolen"
            for one in self.rounds
            if one.steal_percent > STEAL_PERCENT
        ]

    def as_table(self) -> str:
        lines = [
            tables.title(f"stream, {self.readers} readers"),
            tables.row(WIDTHS, "", "messages/s", "CPU µs each", "one to all, p50 ms"),
        ]
        for name, title in TITLES.items():
            for one in self._of(name):
                figures = f"{one.rate:,.0f}", f"{one.cpu_us:.1f}", f"{one.single_p50_ms:.1f}"
                lines.append(tables.row(WIDTHS, title, *figures))
        lines.append(tables.row(WIDTHS, "REST meanwhile", "answers", "p50 ms", "p99 ms"))
        for held in self.held:
            title = f"with {held.sockets} sockets, {held.told:,} messages to them"
            figures = str(held.answers), f"{held.p50_ms:.1f}", f"{held.p99_ms:.1f}"
            lines.append(tables.row(WIDTHS, title, *figures))
        return "\n".join(lines)
