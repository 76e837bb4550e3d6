"""The table of the schedule benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Gate
from benchmarks.report import Report
from benchmarks.tables import row, title

COLUMNS = (20, 9, 8, 10, 7, 8, 8, 7, 8, 7, 8)
P99_GOAL_MS = 1000


@dataclass(frozen=True)
class Passed:
    """One scenario, measured. `late_ms` by percentile, `cpu_percent` of one processor by who used
    it."""

    scenario: str
    webhooks: int
    interval: int
    seconds: float
    due: int
    missed: int
    failed: int
    late_ms: Mapping[str, float]
    cpu_percent: Mapping[str, float]
    steal_percent: float
    others_percent: float

    @property
    def what(self) -> str:
        return f"{self.webhooks:,} each {self.interval} s"

    @property
    def void(self) -> str | None:
        if not self.due:
            return f"{self.what}: nothing was due"
        return f"{self.what}: {self.failed} checks failed" if self.failed else None


@dataclass(frozen=True)
class ScheduleReport(Report):
    passes: Sequence[Passed]

    @property
    def gates(self) -> list[Gate]:
        found = []
        for one in self.passes:
            p99 = one.late_ms["p99"]
            found += [
                Gate(f"missed, {one.what}", "0", f"{one.missed:,}", one.missed == 0),
                Gate(
                    f"p99 late, {one.what}",
                    f"< {P99_GOAL_MS} ms",
                    f"{p99:,.0f} ms",
                    p99 < P99_GOAL_MS,
                ),
            ]
        return found

    @property
    def voids(self) -> list[str]:
        return [one.void for one in self.passes if one.void]

    def as_table(self) -> str:
        heads = ("due", "missed", "late p50", "p99", "max ms", "worker", "PG", "target", "steal",
                 "others")  # fmt: skip
        return "\n".join(
            [
                title("schedule: is every check made, and on time"),
                row(COLUMNS, "webhooks", *heads),
                *(
                    row(
                        COLUMNS,
                        one.what,
                        f"{one.due:,}",
                        f"{one.missed:,}",
                        *(f"{one.late_ms[part]:,.0f}" for part in ("p50", "p99", "max")),
                        *(
                            f"{one.cpu_percent[who]:.0f} %"
                            for who in ("worker", "postgresql", "target")
                        ),
                        f"{one.steal_percent:.1f}",
                        f"{one.others_percent:.0f}",
                    )
                    for one in self.passes
                ),
                "",
                "worker, PG, target: % of one processor. steal, others: % of all that the host",
                "kept, and that other programs used.",
            ]
        )
