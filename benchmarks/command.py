"""A benchmark as a command: its servers, its progress on stderr, its table out, its JSON kept."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from types import FrameType

from app.adapters.embedded import Servers, temporary_servers
from benchmarks import tables
from benchmarks.report import Report

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Benchmark:
    """`measure` gets servers of its own, a folder for logs, and what `parser` read."""

    name: str
    parser: argparse.ArgumentParser
    measure: Callable[[Servers, Path, argparse.Namespace], Report]

    def run(self, arguments: Sequence[str] | None) -> Report:
        """Measure, and keep the figures."""
        given = self.parser.parse_args(arguments)
        with _folder() as folder, temporary_servers(folder) as servers:
            report = self.measure(servers, folder, given)
        report.keep(self.name, given.results)
        return report


def main(benchmarks: Sequence[Benchmark], arguments: Sequence[str] | None = None) -> int:
    """Runs these and prints one table. Answers 1 when a run of theirs was void."""
    signal.signal(signal.SIGTERM, _leave)
    reports = [benchmark.run(arguments) for benchmark in benchmarks]
    print("\n".join(tables.machine(reports[0].machine, reports[0].began_at)))
    for report in reports:
        print("\n" + report.as_table())
    print("\n" + "\n".join(tables.gates(gate for report in reports for gate in report.gates)))
    voids = [void for report in reports for void in report.voids]
    for void in voids:
        print(f"void: {void}")
    return 1 if voids else 0


def parser_for(name: str | None, about: str | None) -> argparse.ArgumentParser:
    """Of one benchmark, or of all."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}" if name else "python -m benchmarks",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder, for the JSON")
    return parser


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def say(text: str) -> None:
    """A line of progress, on stderr: the table alone goes to stdout."""
    sys.stderr.write(f"{text}\n")


@contextmanager
def _folder() -> Iterator[Path]:
    """One that PostgreSQL's account can reach, even when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """As an exception, so that everything that was started is stopped on the way out."""
    raise SystemExit(128 + signal.SIGTERM)
