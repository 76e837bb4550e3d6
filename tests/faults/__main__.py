"""The fault harness: a storm on Tocsin, and one on what one would write at home.

    python -m tests.faults [--minutes N] [--seed S] [--rate ALERTS_PER_SECOND]

Each is under a steady load of alerts while its processes are killed, stopped, flushed and filled
as the seed says. Then the ledger must balance: exits 1 when Tocsin lost something, or something
arrived that nobody had sent, or a message has no end; and when the control lost nothing, since
then this harness could see no loss.
"""

import argparse
import random
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from tests.faults.control import storm_on_control
from tests.faults.report import Report
from tests.faults.storm import storm_on_tocsin

RESULTS = Path(__file__).parent / "results"
MAX_MINUTES = 120.0
# The control needs less time to lose something.
CONTROL_SHARE = 0.2
CONTROL_SECONDS_AT_LEAST = 60.0
# So that it keeps up: a backlog that a flush takes would say little.
CONTROL_RATE_SHARE = 0.25
PAUSE_SECONDS = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table and keeps the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--minutes", type=_minutes, default=10.0, help="of load on Tocsin")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--rate", type=float, default=40.0, help="alerts a second")
    parser.add_argument("--pause", type=float, default=PAUSE_SECONDS, help="between faults, s")
    parser.add_argument("--without-control", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder, for the JSON")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    began_at = datetime.now(UTC).isoformat()
    seconds = given.minutes * 60
    outcomes = [storm_on_tocsin(seconds, given.seed, given.rate, given.pause, _say)]
    if not given.without_control:
        less = max(seconds * CONTROL_SHARE, CONTROL_SECONDS_AT_LEAST)
        rate = given.rate * CONTROL_RATE_SHARE
        outcomes.append(storm_on_control(less, given.seed, rate, given.pause, _say))
    report = Report(began_at, given.seed, outcomes)
    given.results.mkdir(parents=True, exist_ok=True)
    kept = given.results / f"storm-{began_at[:19].replace(':', '')}.json"
    kept.write_text(report.as_json())
    sys.stderr.write("\n")
    sys.stdout.write(report.as_table() + "\n")
    ours, *control = outcomes
    if not ours.verdict.holds:
        return 1
    if any(not one.verdict.lost for one in control):
        sys.stderr.write("The control lost nothing: this run could not have seen a loss.\n")
        return 1
    return 0


def _say(line: str) -> None:
    """One line that is written over, where somebody looks; else one line each."""
    sys.stderr.write(f"\r\x1b[K{line}" if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()


def _minutes(text: str) -> float:
    number = float(text)
    if not 0 < number <= MAX_MINUTES:
        raise ValueError
    return number


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """As an exception, so that everything that was started is stopped on the way out."""
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
