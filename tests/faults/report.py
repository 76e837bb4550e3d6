"""The outcomes side by side: a table for people, JSON for later."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from tests.faults.outcome import Outcome
from tests.faults.recovery import Spread

SHOWN = 5
GOAL_KILLS = 1000
# The lease's ten and fifteen more.
GOAL_P99_SECONDS = 25.0


@dataclass(frozen=True)
class Report:
    began_at: str
    seed: int
    outcomes: Sequence[Outcome]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def as_table(self) -> str:
        rows = [("", *(one.name for one in self.outcomes))]
        rows += [(title, *(look(one) for one in self.outcomes)) for title, look in ROWS]
        lines = [f"seed {self.seed}; durations are p50 / p99 / max", ""]
        lines += _aligned(rows)
        lines += ["", *_goals(self.outcomes[0])]
        for one in self.outcomes:
            lines += ["", f"{one.name}: from a fault to the next delivery, s", ""]
            lines += _aligned(
                [
                    (fault, f"{one.faults[fault]:,}", _shown(took))
                    for fault, took in one.first_delivery_after.items()
                ]
            )
            lines += _wrong(one)
        return "\n".join(lines)


ROWS: Sequence[tuple[str, Callable[[Outcome], str]]] = (
    ("load, s", lambda one: f"{one.seconds:,.0f}"),
    ("alerts a second", lambda one: f"{one.rate:g}"),
    ("kills (SIGKILL)", lambda one: f"{one.kills:,}"),
    ("other faults", lambda one: f"{sum(one.faults.values()) - one.kills:,}"),
    ("attempted", lambda one: f"{one.verdict.attempted:,}"),
    ("accepted", lambda one: f"{one.verdict.accepted:,}"),
    ("answer unknown", lambda one: f"{one.verdict.unknown:,}"),
    ("of those recovered", lambda one: f"{one.verdict.recovered:,}"),
    ("arrived", lambda one: f"{one.verdict.arrived:,}"),
    ("duplicated", lambda one: f"{one.verdict.duplicated:,}"),
    ("lost", lambda one: f"{len(one.verdict.lost):,}"),
    ("unexpected", lambda one: f"{len(one.verdict.unexpected):,}"),
    ("unsettled", lambda one: f"{len(one.verdict.unsettled):,}"),
    ("open at a kill: messages", lambda one: f"{one.open_at_a_kill.count:,}"),
    ("… until they arrived, s", lambda one: _shown(one.open_at_a_kill)),
    ("lost their worker: messages", lambda one: f"{one.lost_its_worker.count:,}"),
    ("… until they arrived, s", lambda one: _shown(one.lost_its_worker)),
)


def _shown(durations: Spread) -> str:
    return f"{durations.p50:.1f} / {durations.p99:.1f} / {durations.worst:.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]


def _goals(ours: Outcome) -> list[str]:
    """What a run of ten minutes or so is for. A short one is not expected to get there."""
    verdict, recovery = ours.verdict, ours.open_at_a_kill
    reached = {
        f"{GOAL_KILLS:,} kills or more": ours.kills >= GOAL_KILLS,
        "lost, unexpected and unsettled 0": verdict.holds,
        f"recovery p99 at most {GOAL_P99_SECONDS:g} s": recovery.p99 <= GOAL_P99_SECONDS,
    }
    return [f"goal: {goal}: {'yes' if is_met else 'no'}" for goal, is_met in reached.items()]


def _wrong(one: Outcome) -> list[str]:
    """The first of what is lost, unexpected or unsettled, each with its reason."""
    lines = []
    for title in ("lost", "unexpected", "unsettled"):
        found: dict[str, str] = getattr(one.verdict, title)
        lines += [f"{title}: {key}: {why}" for key, why in list(found.items())[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"{title}: {len(found) - SHOWN} more")
    return ["", *lines] if lines else []
