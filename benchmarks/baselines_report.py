"""The table of the baselines benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Gate, at_least, at_most, ratio_of_medians
from benchmarks.report import Report
from benchmarks.tables import row, title

COLUMNS = (28, 12, 12, 12, 12, 12, 12)
GOAL, REACH = 3.0, 15.0
# Ten times the samples, and a year behind them, may cost so much more.
MORE_SAMPLES, MORE_HISTORY = 2.0, 1.3


@dataclass(frozen=True)
class Size:
    """So many samples in four weeks. Times are in ms: of the first recalculation, of ours and
    theirs after each further day, and of ours with a year behind them.
    """

    samples: int
    simulated: bool
    first: float
    ours: Sequence[float]
    theirs: Sequence[float]
    with_year: Sequence[float]
    void: str | None

    @property
    def name(self) -> str:
        return f"{self.samples:,}" + (", simulated" if self.simulated else "")

    @property
    def ratio(self) -> float | None:
        """How many times as long theirs takes."""
        return None if self.void else ratio_of_medians(self.theirs, self.ours)


@dataclass(frozen=True)
class BaselinesReport(Report):
    sizes: Sequence[Size]

    @property
    def gates(self) -> list[Gate]:
        compared = [
            at_least(f"percentile_cont to recalculation, {one.name}", GOAL, one.ratio, REACH)
            for one in self.sizes
            if not one.simulated
        ]
        grown = [
            at_most(
                f"recalculation, {more.name} to {less.name}",
                MORE_SAMPLES,
                median(more.ours) / median(less.ours),
            )
            for less, more in zip(self.sizes, self.sizes[1:], strict=False)
        ]
        aged = [
            at_most(
                f"recalculation with a year behind, {one.name}",
                MORE_HISTORY,
                median(one.with_year) / median(one.ours),
            )
            for one in self.sizes
        ]
        return [*compared, *grown, *aged]

    @property
    def voids(self) -> list[str]:
        return [f"{one.name}: {one.void}" for one in self.sizes if one.void]

    def as_table(self) -> str:
        heads = ("one day on", "per. cont", "ratio", "+ a year", "the first", "runs")
        return "\n".join(
            [
                title("baselines: recalculation and percentile_cont over the raw rows, ms"),
                row(COLUMNS, "samples in four weeks", *heads),
                *(
                    row(
                        COLUMNS,
                        one.name,
                        f"{median(one.ours):.1f}",
                        f"{median(one.theirs):,.0f}" if one.theirs else "–",
                        "–" if one.ratio is None else f"{one.ratio:.1f}×",
                        f"{median(one.with_year):.1f}",
                        f"{one.first:.1f}",
                        f"{len(one.ours)}",
                    )
                    for one in self.sizes
                ),
            ]
        )
