"""The tables of the delivery benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Gate, at_least, ratio_of_medians
from benchmarks.report import Report
from benchmarks.rounds import Round
from benchmarks.tables import row, title

SUMMARY = (50, 8, 9, 9, 8, 12)
ROUND = (14, 8, 5, 5, 6, 6, 8, 6, 7, 8, 6, 6, 6, 9)
LEGEND = (
    "ratio: of medians, to the line that has 1.0×. CPU µs: for one delivery, of the workers,",
    "PostgreSQL, Redis and who takes in (in); below that of each, and of the receiver. in s: how",
    "long taking in took, a part of s. steal: % of the processors that the host kept; others: %",
    "that other programs used. Both slow a round down.",
)


@dataclass(frozen=True)
class Section:
    """Contestants that do the same, and the one of them that the ratios refer to.

    `titles` are the contestants' by name, in their order; `absent` says why one is not there.
    """

    what: str
    base: str
    titles: Mapping[str, str]
    absent: Mapping[str, str]


@dataclass(frozen=True)
class DeliveryReport(Report):
    webhooks: int
    sections: Sequence[Section]
    rounds: Sequence[Round]

    @property
    def gates(self) -> list[Gate]:
        one, two = "one worker", "two workers"
        found = []
        for name, workers in (("tocsin-1", one), ("tocsin-2", two)):
            found.append(self._gate(f"{workers}, to Celery with rows", name, "celery-row", 15, 30))
        for name, workers in (("tocsin-1-in", one), ("tocsin-2-in", two)):
            what = f"{workers}, with taking in, to Alertmanager"
            found.append(self._gate(what, name, "alertmanager", 1, 2))
        what = "two workers to one, where the receivers take time"
        found.append(self._gate(what, "tocsin-2-slow", "tocsin-1-slow", 1.6))
        return found

    @property
    def voids(self) -> list[str]:
        return [f"{one.contestant}: {one.void}" for one in self.rounds if one.void]

    def as_table(self) -> str:
        heads = ("accepted", "lost", "dup.", "in s", "s", "per s", "steal", "others")
        lines = [title(f"delivery, {self.webhooks} webhooks")]
        for section in self.sections:
            lines += [*self._section(section), ""]
        lines.append(row(ROUND, "round", *heads, "workers", "PG", "Redis", "in", "receiver"))
        for one in self.rounds:
            lines += _round_lines(one)
        return "\n".join([*lines, "", *LEGEND])

    def _gate(
        self, what: str, name: str, base: str, goal: float, reach: float | None = None
    ) -> Gate:
        ratio = ratio_of_medians(self._rates(name), self._rates(base))
        return at_least(what, goal, ratio, reach)

    def _rates(self, name: str) -> list[float]:
        return [one.rate for one in self._valid(name)]

    def _valid(self, name: str) -> list[Round]:
        return [one for one in self.rounds if one.contestant == name and one.void is None]

    def _section(self, section: Section) -> list[str]:
        return [
            row(SUMMARY, section.what, "min", "median", "max", "ratio", "CPU µs"),
            *(
                f"{text}: {section.absent[name]}"
                if name in section.absent
                else self._summary(name, text, section.base)
                for name, text in section.titles.items()
            ),
        ]

    def _summary(self, name: str, text: str, base: str) -> str:
        rates = self._rates(name)
        if not rates:
            return row(SUMMARY, text, "", "no round counts")
        ratio = ratio_of_medians(rates, self._rates(base))
        cpu = median(
            sum(used for who, used in one.cpu_us.items() if who != "receiver")
            for one in self._valid(name)
        )
        return row(
            SUMMARY,
            text,
            *(f"{rate:,.0f}" for rate in (min(rates), median(rates), max(rates))),
            "" if ratio is None else f"{ratio:.1f}×",
            f"{cpu:,.0f}",
        )


def _round_lines(one: Round) -> list[str]:
    cpu = (one.cpu_us[who] for who in ("workers", "postgresql", "redis", "intake", "receiver"))
    line = row(
        ROUND,
        one.contestant,
        *(f"{count:,}" for count in (one.accepted, one.lost, one.duplicated)),
        f"{one.taken_in_seconds:.2f}",
        f"{one.seconds:.2f}",
        f"{one.rate:,.0f}",
        f"{one.steal_percent:.1f}",
        f"{one.others_percent:.0f}",
        *(f"{used:,.0f}" for used in cpu),
    )
    return [line, f"  void: {one.void}"] if one.void else [line]
