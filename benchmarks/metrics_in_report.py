"""The table of the benchmark of metrics coming in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Gate
from benchmarks.report import Report
from benchmarks.tables import row, title

COLUMNS = (48, 13, 13, 13, 13)
GOAL, BETTER = 20_000, 50_000


@dataclass(frozen=True)
class Round:
    """One measurement. `void` says why it does not count.

    `accepted_seconds` is from the first byte sent to the last answer, `rolled_seconds` to the
    last sample in the rollups (None where there are none). `cpu_us` is for one sample.
    """

    contestant: str
    accepted: int
    accepted_seconds: float
    rolled_seconds: float | None
    cpu_us: Mapping[str, float]
    steal_percent: float
    void: str | None

    @property
    def accepted_rate(self) -> float:
        return self.accepted / self.accepted_seconds

    @property
    def rolled_rate(self) -> float | None:
        return None if self.rolled_seconds is None else self.accepted / self.rolled_seconds


@dataclass(frozen=True)
class MetricsInReport(Report):
    """`titles` names the contestants: `tocsin`, the control `insert`, and others."""

    series: int
    titles: Mapping[str, str]
    rounds: Sequence[Round]

    def _counted(self, name: str) -> list[Round]:
        return [one for one in self.rounds if one.contestant == name and one.void is None]

    @property
    def gates(self) -> list[Gate]:
        found = self._counted("tocsin")
        gates = []
        for what, rates in (
            ("samples/s accepted over HTTP", [one.accepted_rate for one in found]),
            ("samples/s until they are in the rollups", [one.rolled_rate or 0 for one in found]),
        ):
            measured = median(rates) if rates else None
            gates.append(
                Gate(
                    what,
                    f"≥ {GOAL:,}, {BETTER:,}",
                    "not measured" if measured is None else f"{measured:,.0f}",
                    None if measured is None else measured >= GOAL,
                )
            )
        return gates

    @property
    def voids(self) -> list[str]:
        return [f"{one.contestant}: {one.void}" for one in self.rounds if one.void]

    def as_table(self) -> str:
        lines = [
            title(f"metrics in: samples over HTTP, {self.series} series"),
            row(COLUMNS, "samples per second", "accepted", "rolled up", "to control", "samples"),
        ]
        base = [one.accepted_rate for one in self._counted("insert")]
        for name, said in self.titles.items():
            found = self._counted(name)
            if not found:
                lines.append(row(COLUMNS, said, "no round counts"))
                continue
            rate = median(one.accepted_rate for one in found)
            rolled = [one.rolled_rate for one in found if one.rolled_rate is not None]
            lines.append(
                row(
                    COLUMNS,
                    said,
                    f"{rate:,.0f}",
                    f"{median(rolled):,.0f}" if rolled else "–",
                    f"{rate / median(base):.1f}×" if base else "–",
                    f"{found[0].accepted:,}",
                )
            )
        lines += ["", row(COLUMNS, "CPU for a sample, µs", "web", "jobs", "postgresql", "steal %")]
        for name, said in self.titles.items():
            for one in self._counted(name)[:1]:
                cells = [f"{one.cpu_us[who]:.2f}" for who in ("web", "jobs", "postgresql")]
                lines.append(row(COLUMNS, said, *cells, f"{one.steal_percent:.1f}"))
        return "\n".join(lines)
