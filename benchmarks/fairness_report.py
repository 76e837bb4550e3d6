"""The table of the fairness benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Gate, at_least
from benchmarks.report import Report
from benchmarks.tables import row, title

PASS = (34, 8, 9, 6, 5, 8, 8, 8, 8, 6)
WITHIN_SHARE, WITHIN_MS = 1.1, 50.0
# What the control must feel of a receiver that hangs, else this bench sees nothing.
CONTROL_FEELS = 10
LEGEND = (
    "late: not received when the run was ended. p50 … max: ms from created_at to the receipt, of",
    "the healthy webhooks, the same ones without and with those that hang. steal: % of the",
    "processors that the host kept.",
)


@dataclass(frozen=True)
class Scenario:
    """A stream, with and without webhooks that hang, so many pairs.

    `patience` is how many seconds after the stream the last receipt may come.
    """

    name: str
    webhooks: int
    hanging: int
    per_second: int
    seconds: int
    pairs: int
    patience: float
    is_control: bool = False

    @property
    def alerts(self) -> int:
        return self.per_second * self.seconds


@dataclass(frozen=True)
class Pass:
    """One stream, and what the healthy webhooks felt. `void` says why it does not count."""

    scenario: str
    hanging: bool
    per_second: float
    accepted: int
    late: int
    duplicated: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    steal_percent: float
    void: str | None


def stays_fair(scenario: str, without: Sequence[float], hanging: Sequence[float]) -> Gate:
    """Of p99s in ms."""
    goal = "+10 % or +50 ms"
    if not without or not hanging:
        return Gate(scenario, goal, "not measured", None)
    calm, felt = median(without), median(hanging)
    limit = max(calm * WITHIN_SHARE, calm + WITHIN_MS)
    return Gate(scenario, goal, f"{calm:,.0f} → {felt:,.0f} ms", felt <= limit)


@dataclass(frozen=True)
class FairnessReport(Report):
    scenarios: Sequence[Scenario]
    passes: Sequence[Pass]

    @property
    def gates(self) -> list[Gate]:
        found = []
        for one in self.scenarios:
            without, hanging = self._p99s(one, hanging=False), self._p99s(one, hanging=True)
            if one.is_control:
                felt = median(hanging) / median(without) if without and hanging else None
                found.append(at_least(f"p99, {one.name}: unfair", CONTROL_FEELS, felt))
            else:
                found.append(stays_fair(f"p99, {one.name}", without, hanging))
        return found

    @property
    def voids(self) -> list[str]:
        return [f"{one.scenario}: {one.void}" for one in self.passes if one.void]

    def as_table(self) -> str:
        heads = ("per s", "accepted", "late", "dup.", "p50", "p95", "p99", "max", "steal")
        lines = [title("fairness"), row(PASS, "what healthy webhooks get", *heads)]
        for scenario in self.scenarios:
            lines.append(f"{scenario.name}")
            for one in self.passes:
                if one.scenario == scenario.name:
                    lines += _pass_lines(one)
        return "\n".join([*lines, "", *LEGEND])

    def _p99s(self, scenario: Scenario, *, hanging: bool) -> list[float]:
        return [
            one.p99_ms
            for one in self.passes
            if (one.scenario, one.hanging, one.void) == (scenario.name, hanging, None)
        ]


def _pass_lines(one: Pass) -> list[str]:
    line = row(
        PASS,
        "  with those that hang" if one.hanging else "  without",
        f"{one.per_second:,.0f}",
        *(f"{count:,}" for count in (one.accepted, one.late, one.duplicated)),
        *(f"{ms:,.0f}" for ms in (one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms)),
        f"{one.steal_percent:.1f}",
    )
    return [line, f"    void: {one.void}"] if one.void else [line]
