"""The whole suite, as two runs of pytest side by side: `python -m tests [OPTIONS OF PYTEST]`.

Most tests wait, for a process to start or a lease to run out, so one run leaves a processor idle.
Each run has servers of its own. One has every acceptance test, because the last of those looks
back at all of them. What a run has to say in the end is kept until both are over; then comes one
closing line, as pytest writes it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from app.adapters.embedded import dependent
from app.launcher.bytecode import compile_ours

HERE = Path(__file__).parent
# In this order. What only reckons is beside the storm, with which the second half begins: that one
# holds every processor for a minute, and what follows watches clocks.
FIRST = ("domain", "test_nab.py", "adapters", "conformance", "launcher", "acceptance")
SECOND = ("faults", "test_benchmarks.py")
# What fsync has no disk for is quick, and no test pulls a plug: a killed process loses no page.
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
MEMORY_BYTES = 4 * 2**30

CLOSING = re.compile(r"=+ (?P<counts>.*\d+ \w+.*|no tests ran) in [\d.]+s\b.*=+")
WORDS = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
NOTHING_COLLECTED = 5


class Half:
    """One run of pytest. Its progress is printed at once, line by line; what it reports, by us."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._name = name
        self._report: list[str] = []
        self._process = subprocess.Popen(
            # A Ctrl-C comes from us, and once: a second one would interrupt the cleaning up.
            dependent(command, on_parent_death=signal.SIGINT),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        self._reader.join()
        return self._process.wait()

    @property
    def report(self) -> str:
        """Without its closing line: there is to be one."""
        return "".join(line for line in self._report if not CLOSING.fullmatch(line.strip()))

    @property
    def counts(self) -> Counter[str]:
        """How many passed, failed and so on; an error when it ended without saying so."""
        found = CLOSING.fullmatch(self._report[-1].strip()) if self._report else None
        return Counter(error=1) if found is None else counted(found["counts"])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if self._report or (line.startswith("===") and "test session starts" not in line):
                self._report.append(line)
            else:
                print(f"{self._name}| {line}", end="", flush=True)


def counted(words: str) -> Counter[str]:
    """Of "1 failed, 2 passed", the numbers; "warnings" and "errors" in the singular."""
    counts: Counter[str] = Counter()
    for number, word in re.findall(r"(\d+) (\w+)", words):
        counts[word.removesuffix("s") if word in ("warnings", "errors") else word] += int(number)
    return counts


def closing_line(counts: Mapping[str, int], seconds: float) -> str:
    """In pytest's own shape, and as wide."""
    said = [
        f"{counts[word]} {word}{'s' * (word in ('warning', 'error') and counts[word] > 1)}"
        for word in WORDS
        if counts.get(word)
    ]
    minutes, rest = divmod(int(seconds), 60)
    text = f"{', '.join(said) or 'no tests ran'} in {seconds:.2f}s (0:{minutes:02}:{rest:02})"
    return f" {text} ".center(80, "=")


def halves() -> tuple[list[str], list[str]]:
    """What each run gets: the second one everything that the first does not."""
    rooms = {path.name for path in HERE.iterdir() if path.is_dir() and any(path.glob("test_*.py"))}
    rooms |= {path.name for path in HERE.glob("test_*.py")}
    second = [*SECOND, *sorted(rooms - {*FIRST, *SECOND})]
    return [str(HERE / name) for name in FIRST], [str(HERE / name) for name in second]


@contextmanager
def quick_folder() -> Iterator[Path | None]:
    """Where tests put their data, in memory; None where there is too little, or TMPDIR says."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    if "TMPDIR" in os.environ or not roomy:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="tocsin-", dir=MEMORY))
    folder.chmod(0o711)  # PostgreSQL's account passes through, even when we are root
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(halves: Sequence[Sequence[str]], options: Sequence[str]) -> int:
    """Runs pytest on each of these at once; the exit code."""
    began = time.monotonic()
    compile_ours()
    with quick_folder() as folder:
        environment = dict(os.environ) | ({"TMPDIR": str(folder)} if folder else {})
        # Two runs would overwrite each other's.
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        running: list[Half] = []

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            for half in running:
                half.interrupt()

        # Before they start: whom a shell runs in the background would pass on that it is deaf.
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, interrupt)
        for number, paths in enumerate(halves, 1):
            running.append(Half(str(number), [*command, *paths], environment))
        codes = [half.wait() for half in running]

    for number, half in enumerate(running, 1):
        print(f"\n{f' part {number} ':*^80}\n{half.report}")
    counts: Counter[str] = Counter()
    for half in running:
        counts.update(half.counts)
    print(closing_line(counts, time.monotonic() - began), flush=True)
    # A part may have none of the tests that were asked for; not both.
    codes = [code for code in codes if code != NOTHING_COLLECTED] or codes
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(run(halves(), sys.argv[1:]))
