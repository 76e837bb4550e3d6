"""What was measured, as JSON and as a table of plain text, at most 100 columns wide."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

BASE = "celery-row"
SUMMARY = (50, 8, 9, 9, 8, 12)
ROUND = (12, 9, 8, 5, 5, 7, 8, 7, 8, 9, 6, 6, 9)
LEGEND = (
    "ratio: of medians, to the control with its row. CPU µs: for one delivery, of the workers,",
    "PostgreSQL and Redis together; below that of each, and of the receiver. steal: % of the",
    "processors that the host kept; others: % that other programs used. Both slow a round down.",
)


@dataclass(frozen=True)
class Round:
    """One measurement. `cpu_us` is for one delivery; `void` says why the round does not count."""

    contestant: str
    accepted: int
    received: int
    unique: int
    lost: int
    duplicated: int
    seconds: float
    rate: float
    cpu_us: Mapping[str, float]
    steal_percent: float
    others_percent: float
    void: str | None


@dataclass(frozen=True)
class Report:
    """A whole run. `titles` are the contestants', in their order."""

    began_at: str
    machine: Mapping[str, str]
    webhooks: int
    titles: Mapping[str, str]
    receiver_ceiling: float
    rounds: Sequence[Round]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def as_table(self) -> str:
        heads = ("round", "accepted", "unique", "lost", "dup.", "s", "per s", "steal", "others")
        return "\n".join(
            [
                *self._machine_lines(),
                "",
                _row(SUMMARY, "deliveries per second", "min", "median", "max", "ratio", "CPU µs"),
                *(self._summary(name, title) for name, title in self.titles.items()),
                _row(SUMMARY, "the receiver's own ceiling", "", f"{self.receiver_ceiling:,.0f}"),
                "",
                _row(ROUND, *heads, "workers", "PG", "Redis", "receiver"),
                *(line for one in self.rounds for line in _round_lines(one)),
                "",
                *LEGEND,
            ]
        )

    def _machine_lines(self) -> list[str]:
        about = self.machine
        packages = ("celery", "psycopg", "requests", "pycurl")
        return [
            f"{about['cores']} cores ({about['processor']}), load {about['load']} at the start;"
            f" {self.webhooks} webhooks; {self.began_at[:16]} UTC",
            f"Python {about['python']}, PostgreSQL {about['postgresql']}"
            f" (synchronous_commit {about['synchronous_commit']}, fsync {about['fsync']}),"
            f" Redis {about['redis']}",
            ", ".join(f"{name} {about[name]}" for name in packages),
        ]

    def _valid(self, name: str) -> list[Round]:
        return [one for one in self.rounds if one.contestant == name and one.void is None]

    def _summary(self, name: str, title: str) -> str:
        rounds, base = self._valid(name), self._valid(BASE)
        if not rounds:
            return _row(SUMMARY, title, "", "no round counts")
        rates = [one.rate for one in rounds]
        ratio = f"{median(rates) / median(one.rate for one in base):.1f}×" if base else ""
        cpu = median(sum(one.cpu_us.values()) - one.cpu_us["receiver"] for one in rounds)
        figures = (min(rates), median(rates), max(rates))
        return _row(SUMMARY, title, *(f"{rate:,.0f}" for rate in figures), ratio, f"{cpu:,.0f}")


def _round_lines(one: Round) -> list[str]:
    counts = (one.accepted, one.unique, one.lost, one.duplicated)
    cpu = (one.cpu_us[name] for name in ("workers", "postgresql", "redis", "receiver"))
    line = _row(
        ROUND,
        one.contestant,
        *(f"{count:,}" for count in counts),
        f"{one.seconds:.2f}",
        f"{one.rate:,.0f}",
        f"{one.steal_percent:.1f}",
        f"{one.others_percent:.0f}",
        *(f"{used:,.0f}" for used in cpu),
    )
    return [line, f"  void: {one.void}"] if one.void else [line]


def _row(widths: Sequence[int], first: str, *others: str) -> str:
    """The first column begins at the left, the others end at the right."""
    cells = [f"{text:>{width}}" for text, width in zip(others, widths[1:], strict=False)]
    return f"{first:{widths[0]}}" + "".join(cells)
