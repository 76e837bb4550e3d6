"""Figures from many, and whether they reach their goals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def percentile(values: Sequence[float], part: float) -> float:
    """By nearest rank: a value that was measured. `part` is 0.99 for p99."""
    return sorted(values)[max(math.ceil(part * len(values)), 1) - 1]


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """None where either was not measured."""
    return median(ours) / median(theirs) if ours and theirs else None


@dataclass(frozen=True)
class Gate:
    """A goal, what was measured, and whether that reaches it; None where nothing was measured."""

    what: str
    goal: str
    measured: str
    passed: bool | None

    @property
    def verdict(self) -> str:
        return {True: "pass", False: "FAIL", None: "–"}[self.passed]


def at_least(what: str, goal: float, measured: float | None, reach: float | None = None) -> Gate:
    """A ratio that should be so high; `reach` is what it would better be."""
    wish = f", better {reach:g}×" if reach is not None else ""
    return Gate(
        what,
        f"≥ {goal:g}×{wish}",
        "not measured" if measured is None else f"{measured:.1f}×",
        None if measured is None else measured >= goal,
    )


def at_most(what: str, goal: float, measured: float | None) -> Gate:
    """A ratio that should be no higher."""
    return Gate(
        what,
        f"≤ {goal:g}×",
        "not measured" if measured is None else f"{measured:.2f}×",
        None if measured is None else measured <= goal,
    )
