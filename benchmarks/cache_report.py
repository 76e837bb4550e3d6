"""The table of the cache benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Gate, at_least, ratio_of_medians
from benchmarks.report import Report
from benchmarks.tables import row, title

COLUMNS = (44, 18, 18, 18)
L1_GOAL, L1_REACH = 8.0, 10.0
L2_GOAL, L2_REACH = 10.0, 15.0


@dataclass(frozen=True)
class Gets:
    """Nanoseconds of a call, by round: L1's get, the whole cache's, and the peer's two ways."""

    threads: int
    ours: Sequence[float]
    whole: Sequence[float]
    theirs: Sequence[float]
    theirs_item: Sequence[float]
    void: str | None

    @property
    def ratio(self) -> float | None:
        """Of the rounds that were disturbed least: what others do to the processor's own caches
        is no part of either."""
        if self.void or not self.theirs:
            return None
        return min(self.theirs) / min(self.ours)


@dataclass(frozen=True)
class Many:
    """Milliseconds for all entries, by round: by hundreds, key by key, and plainly by redis-py."""

    entries: int
    set_many: Sequence[float]
    set_each: Sequence[float]
    set_plainly: Sequence[float]
    get_many: Sequence[float]
    get_each: Sequence[float]
    get_plainly: Sequence[float]
    void: str | None


@dataclass(frozen=True)
class Flight:
    """What so many callers of one cold key made of queries; ms until all had their answer."""

    callers: int
    queries: int
    took: float
    void: str | None


@dataclass(frozen=True)
class Commits:
    """Milliseconds of a transaction with one UPDATE."""

    heard: list[float]
    unheard: list[float]


@dataclass(frozen=True)
class CacheReport(Report):
    gets: Sequence[Gets]
    many: Many
    flight: Flight
    commits: Commits

    @property
    def gates(self) -> list[Gate]:
        many = self.many
        ratios = {
            "put in": ratio_of_medians(many.set_each, many.set_many),
            "got": ratio_of_medians(many.get_each, many.get_many),
        }
        return [
            *(
                at_least(
                    f"TTLCache.get to L1's, {one.threads} threads", L1_GOAL, one.ratio, L1_REACH
                )
                for one in self.gets
            ),
            *(
                at_least(
                    f"L2 key by key to hundreds, {way}",
                    L2_GOAL,
                    None if many.void else ratio,
                    L2_REACH,
                )
                for way, ratio in ratios.items()
            ),
            Gate(
                f"{self.flight.callers:,} callers of one cold key",
                "1 query",
                f"{self.flight.queries:,}",
                None if self.flight.void else self.flight.queries == 1,
            ),
        ]

    @property
    def voids(self) -> list[str]:
        said = {f"gets by {one.threads} threads": one.void for one in self.gets}
        said |= {"L2": self.many.void, "one flight": self.flight.void}
        return [f"{what}: {why}" for what, why in said.items() if why]

    def as_table(self) -> str:
        many, commits = self.many, self.commits
        return "\n".join(
            [
                title("cache: a hit in L1, nanoseconds, the best round"),
                row(COLUMNS, "", *(f"{one.threads} threads" for one in self.gets)),
                row(COLUMNS, "L1's get", *(_nanoseconds(one.ours) for one in self.gets)),
                row(
                    COLUMNS,
                    "the whole cache's get",
                    *(_nanoseconds(one.whole) for one in self.gets),
                ),
                row(
                    COLUMNS,
                    "cachetools.TTLCache.get, with its lock",
                    *(_nanoseconds(one.theirs) for one in self.gets),
                ),
                row(
                    COLUMNS,
                    "cachetools.TTLCache[], with its lock",
                    *(_nanoseconds(one.theirs_item) for one in self.gets),
                ),
                title(f"cache: {many.entries:,} entries of 1 KiB in L2, ms"),
                row(COLUMNS, "", "by hundreds", "key by key", "plain redis-py"),
                row(COLUMNS, "put in", *map(_ms, (many.set_many, many.set_each, many.set_plainly))),
                row(COLUMNS, "got", *map(_ms, (many.get_many, many.get_each, many.get_plainly))),
                title("cache: a transaction with one UPDATE, ms"),
                row(COLUMNS, "", "heard of", "not"),
                row(COLUMNS, "median", _ms(commits.heard, 3), _ms(commits.unheard, 3)),
                f"{self.flight.callers:,} callers of one cold key had their answer after"
                f" {self.flight.took:,.0f} ms, of a query that takes 50.",
            ]
        )


def _nanoseconds(values: Sequence[float]) -> str:
    return f"{min(values):,.0f}" if values else "–"


def _ms(values: Sequence[float], digits: int = 1) -> str:
    return f"{median(values):,.{digits}f}"
