"""The table of the benchmark of lists over REST."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Gate, at_least, ratio_of_medians
from benchmarks.report import Report
from benchmarks.tables import row, title

COLUMNS = (40, 10, 10, 10, 10, 10, 10)
CACHED, UNCACHED = "cached", "uncached"
PEER, PEER_REMEMBERS = "fastapi", "fastapi-remembers"
GOALS = {CACHED: 2.0, UNCACHED: 1.2}


@dataclass(frozen=True)
class Round:
    """One measurement. CPU is in µs for one request; `void` says why it does not count."""

    contestant: str
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    web_us: float
    postgresql_us: float
    steal_percent: float
    void: str | None

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class RestListReport(Report):
    """`titles` names the contestants."""

    alerts: int
    titles: Mapping[str, str]
    rounds: Sequence[Round]

    def _counted(self, name: str) -> list[Round]:
        return [one for one in self.rounds if one.contestant == name and one.void is None]

    def _rates(self, name: str) -> list[float]:
        return [one.rate for one in self._counted(name)]

    @property
    def gates(self) -> list[Gate]:
        return [
            at_least(
                f"list of 50, {name}, to FastAPI",
                goal,
                ratio_of_medians(self._rates(name), self._rates(PEER)),
            )
            for name, goal in GOALS.items()
        ]

    @property
    def voids(self) -> list[str]:
        return [f"{one.contestant}: {one.void}" for one in self.rounds if one.void]

    def as_table(self) -> str:
        lines = [
            title(f"rest list: GET of 50 of {self.alerts:,} alerts"),
            row(COLUMNS, "requests", "per s", "to peer", "p50 ms", "p99 ms", "web µs", "pg µs"),
        ]
        base = self._rates(PEER)
        for name, said in self.titles.items():
            found = self._counted(name)
            if not found:
                lines.append(row(COLUMNS, said, "no round counts"))
                continue
            rate = median(self._rates(name))
            lines.append(
                row(
                    COLUMNS,
                    said,
                    f"{rate:,.0f}",
                    f"{rate / median(base):.1f}×" if base else "–",
                    f"{median(one.p50_ms for one in found):.1f}",
                    f"{median(one.p99_ms for one in found):.1f}",
                    f"{median(one.web_us for one in found):,.0f}",
                    f"{median(one.postgresql_us for one in found):,.0f}",
                )
            )
        steal = max((one.steal_percent for one in self.rounds), default=0.0)
        return "\n".join([*lines, f"steal {steal:.1f} % at most"])
