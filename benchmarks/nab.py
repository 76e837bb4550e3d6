"""Our detector and a z-score on the Numenta Anomaly Benchmark: its files, its formula.

Both see one value at a time, in order, and nothing behind it; our detector has one setting and one
threshold for all files. Takes a minute; needs no servers.
"""

import argparse
import csv
import json
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.detector import Detector, Setting
from benchmarks import tables
from benchmarks.command import say
from benchmarks.figures import Gate
from benchmarks.nab_scoring import Labels, Score, normalised, score

DATA = Path(__file__).parents[2] / "shared" / "nab"
GOAL, REACH = 60.0, 74.9
CONTROL_SIGMAS = 3.0
CONTROL_SECONDS = 86_400
THRESHOLDS = tuple(round(0.30 + 0.02 * step, 2) for step in range(26))
# Standard profile, all 58 files, as published in the repository numenta/NAB.
PUBLISHED: Mapping[str, float] = {
    "ARTime": 74.9,
    "Numenta HTM": 70.1,
    "CAD OSE": 69.9,
    "earthgecko Skyline": 58.2,
    "KNN-CAD": 58.0,
    "Relative Entropy": 54.6,
    "Random Cut Forest": 51.7,
    "Twitter ADVec": 47.1,
    "Windowed Gaussian": 39.6,
    "Etsy Skyline": 35.7,
    "sliding threshold": 30.7,
}
HEADS = ("ours", "windows", "false alarms", "z > 3", "false alarms", "z > 3, quietly")
COLUMNS = (24, 8, 12, 14, 10, 14, 18)


@dataclass(frozen=True, slots=True)
class Series:
    """One file. `times` in seconds since 1970."""

    name: str
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    labels: Labels

    @property
    def category(self) -> str:
        return self.name.partition("/")[0]


def load(folder: Path) -> list[Series]:
    """All files that `windows.json` names, in the order of their names."""
    windows = json.loads((folder / "windows.json").read_text())
    return [_series(folder, name, windows[name]) for name in sorted(windows)]


def _series(folder: Path, name: str, windows: Sequence[Sequence[str]]) -> Series:
    with (folder / "data" / name).open(newline="") as file:
        rows = [(_moment(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    places: dict[float, int] = {}
    for place, (at, _value) in enumerate(rows):
        places.setdefault(at, place)
    times, values = np.array(rows).T
    spans = tuple((places[_moment(first)], places[_moment(last)]) for first, last in windows)
    return Series(name, times, values, Labels(len(rows), spans))


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def our_scores(series: Series) -> list[float]:
    """What the detector says of each row."""
    detector = Detector()
    rows = zip(series.times.tolist(), series.values.tolist(), strict=True)
    return [detector.feed(at, value).score for at, value in rows]


def alarms(scores: Iterable[float], threshold: float) -> list[int]:
    """The rows at which an incident would start with this threshold."""
    alarm = Setting().alarm(threshold)
    return [row for row, one in enumerate(scores) if alarm.rings(one)]


def control_alarms(series: Series) -> list[int]:
    """Rows more than three standard deviations off the mean of the 24 hours before them."""
    firsts = np.searchsorted(series.times, series.times - CONTROL_SECONDS)
    found = []
    for row, first in enumerate(firsts.tolist()):
        window = series.values[first:row]
        if len(window) > 1 and abs(series.values[row] - window.mean()) > (
            CONTROL_SIGMAS * window.std()
        ):
            found.append(row)
    return found


def quietly(rows: Iterable[int]) -> list[int]:
    """Without those within the quiet time after one that stays, as our detector has it."""
    kept: list[int] = []
    for row in rows:
        if not kept or row > kept[-1] + Setting().quiet:
            kept.append(row)
    return kept


@dataclass(frozen=True, slots=True)
class Measured:
    """Every file's score at every threshold of ours, and the control's: as it is, and with our
    rule that an incident is told once.
    """

    files: Sequence[Series]
    ours: Mapping[str, Mapping[float, Score]]
    control: Mapping[str, Score]
    quiet_control: Mapping[str, Score]
    us_a_value: float

    def at(self, threshold: float, names: Iterable[str]) -> list[Score]:
        return [self.ours[name][threshold] for name in names]

    def best_threshold(self, names: Sequence[str]) -> float:
        return max(THRESHOLDS, key=lambda one: normalised(self.at(one, names)))


def measure(files: Sequence[Series]) -> Measured:
    ours, control, quiet_control = {}, {}, {}
    spent, rows = 0.0, 0
    for one in files:
        say(f"nab, {one.name}")
        began_at = time.process_time()
        scores = our_scores(one)
        spent += time.process_time() - began_at
        rows += len(scores)
        ours[one.name] = {
            threshold: score(one.labels, alarms(scores, threshold)) for threshold in THRESHOLDS
        }
        rows_off = control_alarms(one)
        control[one.name] = score(one.labels, rows_off)
        quiet_control[one.name] = score(one.labels, quietly(rows_off))
    return Measured(files, ours, control, quiet_control, 1e6 * spent / max(rows, 1))


def halves(files: Sequence[Series]) -> tuple[list[str], list[str]]:
    """The names of every second file of each category, and of the others."""
    seen: dict[str, int] = defaultdict(int)
    split: tuple[list[str], list[str]] = ([], [])
    for one in files:
        split[seen[one.category] % 2].append(one.name)
        seen[one.category] += 1
    return split


def table(measured: Measured) -> str:
    threshold = Setting().threshold
    by_category: dict[str, list[str]] = defaultdict(list)
    for one in measured.files:
        by_category[one.category].append(one.name)
    names = [one.name for one in measured.files]
    lines = [
        tables.title(f"NAB, {len(names)} files, standard profile"),
        tables.row(
            COLUMNS,
            "",
            "ours",
            "windows",
            "false alarms",
            "z > 3",
            "false alarms",
            "z > 3, quietly",
        ),
        *(_row(measured, name, inside, threshold) for name, inside in by_category.items()),
        _row(measured, "all", names, threshold),
        f"one setting, one threshold ({threshold:g}); {measured.us_a_value:.0f} µs CPU a value."
        " A category without windows has no score.",
        "",
        "ours with another threshold: "
        + ", ".join(
            f"{one:.2f} {normalised(measured.at(one, names)):.1f}" for one in THRESHOLDS[4:16:2]
        ),
        *_check(measured, by_category, threshold),
        "",
        "published for all 58 files (numenta/NAB, standard profile):",
        *textwrap.wrap(", ".join(f"{name} {points}" for name, points in PUBLISHED.items())),
    ]
    return "\n".join(lines)


def _row(measured: Measured, name: str, inside: Sequence[str], threshold: float) -> str:
    ours = measured.at(threshold, inside)
    control = [measured.control[one] for one in inside]
    return tables.row(
        COLUMNS,
        name,
        _points(normalised(ours)),
        f"{sum(one.found for one in ours)} of {sum(one.windows for one in ours)}",
        str(sum(one.false_alarms for one in ours)),
        _points(normalised(control)),
        str(sum(one.false_alarms for one in control)),
        _points(normalised([measured.quiet_control[one] for one in inside])),
    )


def _points(points: float) -> str:
    return "–" if np.isnan(points) else f"{points:.1f}"


def _check(
    measured: Measured, by_category: Mapping[str, Sequence[str]], threshold: float
) -> Iterable[str]:
    """What a threshold scores on files that it was not chosen on."""
    first, second = halves(measured.files)
    yield (
        "split halves (every second file of each category), one threshold: "
        + " and ".join(
            f"{normalised(measured.at(threshold, half)):.1f}" for half in (first, second)
        )
    )
    for chosen_on, used_on in ((first, second), (second, first)):
        chosen = measured.best_threshold(chosen_on)
        yield (
            f"  chosen on one half ({chosen:.2f}: {normalised(measured.at(chosen, chosen_on)):.1f}"
            f" there), used on the other: {normalised(measured.at(chosen, used_on)):.1f}"
        )
    left_out = []
    for inside in by_category.values():
        others = [one.name for one in measured.files if one.name not in inside]
        left_out += measured.at(measured.best_threshold(others), inside)
    yield f"  chosen on all other categories, used on the one left out: {normalised(left_out):.1f}"


def gates(measured: Measured) -> list[Gate]:
    threshold = Setting().threshold
    points = normalised(measured.at(threshold, [one.name for one in measured.files]))
    control = max(
        normalised(list(one.values())) for one in (measured.control, measured.quiet_control)
    )
    return [
        Gate(
            "NAB score, standard profile",
            f"≥ {GOAL:g}, better {REACH:g}",
            f"{points:.1f}",
            points >= GOAL,
        ),
        Gate(
            "points above z > 3 on 24 h, the better of both",
            "> 0",
            f"{points - control:+.1f}",
            points > control,
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA if DATA.is_dir() else None,
        help="a folder with windows.json and data/ (default: ../shared/nab, if it is there)",
    )
    folder = parser.parse_args(arguments).data
    if folder is None or not (folder / "windows.json").is_file():
        parser.error(
            "give --data DIR, a folder with windows.json (file → list of [first, last] timestamps)"
            " and the files under data/, as in the repository numenta/NAB (there the windows are"
            " in labels/combined_windows.json)"
        )
    measured = measure(load(folder))
    print(table(measured))
    print("\n" + "\n".join(tables.gates(gates(measured))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
