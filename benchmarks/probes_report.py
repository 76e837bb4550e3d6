"""The tables of the probes benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Gate, at_least, ratio_of_medians
from benchmarks.report import Report
from benchmarks.tables import row, title

SUMMARY = (50, 8, 9, 9, 8, 12)
ROUND = (12, 9, 8, 9, 8, 8, 10, 10, 10, 10)
ONE, TWO, PEER = "tocsin-1", "tocsin-2", "blackbox"
GOAL, REACH = 4, 6


@dataclass(frozen=True)
class ProbeRound:
    """One measurement. `cpu_us` is for one probe, by who used it; `void` says why it does not
    count."""

    contestant: str
    probes: int
    seconds: float
    rate: float
    cpu_us: Mapping[str, float]
    steal_percent: float
    others_percent: float
    void: str | None


@dataclass(frozen=True)
class ProbesReport(Report):
    callers: int
    titles: Mapping[str, str]
    absent: Mapping[str, str]
    rounds: Sequence[ProbeRound]

    @property
    def gates(self) -> list[Gate]:
        theirs = self._rates(PEER)
        return [
            at_least(
                f"probes, {workers}, to blackbox_exporter",
                GOAL,
                ratio_of_medians(self._rates(name), theirs),
                REACH,
            )
            for name, workers in ((ONE, "one worker"), (TWO, "two workers"))
        ]

    @property
    def voids(self) -> list[str]:
        return [f"{one.contestant}: {one.void}" for one in self.rounds if one.void]

    def as_table(self) -> str:
        heads = ("probes", "s", "per s", "steal", "others", "prober", "PG", "callers", "target")
        lines = [
            title(f"probes, a new connection each; {self.callers} callers of blackbox_exporter"),
            row(SUMMARY, "probes per second", "min", "median", "max", "ratio", "CPU µs"),
            *(
                f"{text}: {self.absent[name]}" if name in self.absent else self._summary(name, text)
                for name, text in self.titles.items()
            ),
            "",
            row(ROUND, "round", *heads),
        ]
        for one in self.rounds:
            lines += _round_lines(one)
        lines += [
            "",
            "CPU µs: for one probe, of all, and below of each. steal: % of the processors that the",
            "host kept; others: % that other programs used.",
        ]
        return "\n".join(lines)

    def _rates(self, name: str) -> list[float]:
        return [one.rate for one in self._valid(name)]

    def _valid(self, name: str) -> list[ProbeRound]:
        return [one for one in self.rounds if one.contestant == name and one.void is None]

    def _summary(self, name: str, text: str) -> str:
        rates = self._rates(name)
        if not rates:
            return row(SUMMARY, text, "", "no round counts")
        ratio = ratio_of_medians(rates, self._rates(PEER))
        cpu = median(sum(one.cpu_us.values()) for one in self._valid(name))
        return row(
            SUMMARY,
            text,
            *(f"{rate:,.0f}" for rate in (min(rates), median(rates), max(rates))),
            "" if ratio is None else f"{ratio:.1f}×",
            f"{cpu:,.0f}",
        )


def _round_lines(one: ProbeRound) -> list[str]:
    cpu = (one.cpu_us[who] for who in ("prober", "postgresql", "callers", "target"))
    line = row(
        ROUND,
        one.contestant,
        f"{one.probes:,}",
        f"{one.seconds:.2f}",
        f"{one.rate:,.0f}",
        f"{one.steal_percent:.1f}",
        f"{one.others_percent:.0f}",
        *(f"{used:,.0f}" for used in cpu),
    )
    return [line, f"  void: {one.void}"] if one.void else [line]
