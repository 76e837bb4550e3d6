"""`make test` runs two halves at once: nothing is left out, and both count."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.__main__ import closing_line, counted, halves
from tests.harness.system import ROOT, clean_environment
from tests.harness.waiting import eventually

RUN = "import sys; from tests.__main__ import run; sys.exit(run([*zip(sys.argv[1:])], ['-ra']))"
GOOD = "def test_good(): pass\n"
MIXED = """\
import pytest
def test_bad(): assert 'this' == 'that'
@pytest.mark.skip(reason='because')
def test_skipped(): pass
"""
DEADLY = "import os\ndef test_dies(): os._exit(3)\n"
CLOSING = re.compile(r"=+ (.+) in [\d.]+s \([\d:]+\) =+")
STUCK = """\
import pathlib, subprocess, pytest
@pytest.fixture(scope='session')
def server():
    with subprocess.Popen(['sleep', '1000']) as process:
        yield process
        process.kill()
def test_it_waits(server):
    pathlib.Path(__file__).with_name('pid').write_text(str(server.pid))
    server.wait()
"""


def start(folder: Path, *files: str) -> "subprocess.Popen[str]":
    """The runner, with a half for each of these."""
    parts = []
    for number, text in enumerate(files):
        parts.append(folder / str(number) / "test_it.py")
        parts[-1].parent.mkdir()
        parts[-1].write_text(text, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, parts)],
        cwd=ROOT,
        env=clean_environment({}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_every_test_is_in_one_half() -> None:
    first, second = (set(map(Path, half)) for half in halves())
    assert not first & second
    found = {
        path for path in (ROOT / "tests").rglob("test_*.py") if "__pycache__" not in path.parts
    }
    for path in found:
        assert len({path, *path.parents} & (first | second)) == 1, path


def test_all_count_and_what_failed_is_shown(tmp_path: Path) -> None:
    with start(tmp_path, GOOD, MIXED, DEADLY) as process:
        output, _errors = process.communicate(timeout=60)
    assert process.returncode == 1
    # One closing line, and nothing behind it: that is the one that is read. Who died without a
    # word is an error.
    assert CLOSING.findall(output) == ["1 failed, 1 passed, 1 skipped, 1 error"]
    assert CLOSING.fullmatch(output.splitlines()[-1])
    assert "assert 'this' == 'that'" in output
    assert "because" in output


def test_an_interrupt_ends_both_and_what_they_started(tmp_path: Path) -> None:
    with start(tmp_path, STUCK, STUCK) as process:
        pids = [tmp_path / name / "pid" for name in ("0", "1")]
        eventually(lambda: all(path.exists() and path.read_text() for path in pids), 60, "both")
        family = psutil.Process(process.pid).children(recursive=True)
        assert {int(path.read_text()) for path in pids} <= {one.pid for one in family}
        process.send_signal(signal.SIGINT)
        output, _errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output.count("KeyboardInterrupt") >= 2
    _gone, left = psutil.wait_procs(family, timeout=10)
    assert left == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("2 failed, 3 passed, 1 warning, 2 errors", "2 failed, 3 passed, 1 warning, 2 errors"),
        ("3 passed, 1 error", "3 passed, 1 error"),
        ("no tests ran", "no tests ran"),
    ],
)
def test_the_closing_line_is_as_pytest_writes_it(words: str, said: str) -> None:
    assert closing_line(counted(words), 61.234).strip("=") == f" {said} in 61.23s (0:01:01) "
