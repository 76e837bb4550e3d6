"""Whoever asks for a stop, and however: all of it stops, servers last, and nothing is left."""

import os
import re
import signal
from collections.abc import Callable

import pytest

from .conftest import EXTERNAL, Launch, Project, left_of, until


def interrupt_make(launch: Launch) -> None:
    os.kill(launch.process.pid, signal.SIGINT)


def terminate_make(launch: Launch) -> None:
    os.kill(launch.process.pid, signal.SIGTERM)


def kill_make(launch: Launch) -> None:
    os.kill(launch.process.pid, signal.SIGKILL)


def interrupt_group_twice(launch: Launch) -> None:
    """What an impatient Ctrl-C at a terminal does."""
    os.killpg(launch.process.pid, signal.SIGINT)
    launch.until_says("Stopping everything")
    os.killpg(launch.process.pid, signal.SIGINT)


@pytest.mark.parametrize("ask", [interrupt_make, terminate_make, kill_make, interrupt_group_twice])
def test_everything_stops(project: Project, ask: Callable[[Launch], None]) -> None:
    launch = project.make(EXTERNAL)
    launch.until_ready()
    family = launch.family()

    ask(launch)

    launch.wait(20)
    assert left_of(family, within_seconds=20) == []
    assert (project.folder / "exit-code").read_text() == "0"


def test_servers_stop_last_and_a_slow_program_gets_its_time_but_no_more(project: Project) -> None:
    project.write(
        "Procfile",
        "web: python web.py\ndeliver_1: python slow.py\nflower: sh -c \"trap '' TERM; sleep 60\"\n",
    )
    project.write(
        "slow.py",
        "import signal, sys, time\n"
        "def stop(*_):\n"
        "    time.sleep(2)\n"
        "    print('finished', flush=True)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('started', flush=True)\n"
        "while True:\n"
        "    signal.pause()\n",
    )
    launch = project.launch()
    launch.until_ready()
    log = project.data_dir / "logs" / "deliver_1.log"
    until(lambda: "started" in log.read_text())
    family = launch.family()

    launch.process.terminate()

    assert launch.wait(20) == 0
    assert left_of(family) == []
    assert "finished" in log.read_text()
    events = (project.data_dir / "logs" / "supervisord.log").read_text()
    stopped = re.findall(r"stopped: (\w+)", events)
    assert set(stopped[:3]) == {"web", "deliver_1", "flower"}
    assert set(stopped[3:]) == {"postgres", "broker", "cache"}
    assert not (project.data_dir / "postgres" / "postmaster.pid").exists()


def test_a_stop_during_the_release(project: Project) -> None:
    project.write("Procfile", "release: sleep 1000\nweb: python web.py\n")
    launch = project.launch(environment=EXTERNAL)
    launch.until_says("Running sleep 1000")
    family = launch.family()

    launch.process.send_signal(signal.SIGINT)

    assert launch.wait(20) == 0
    assert left_of(family) == []


def test_a_supervisor_that_dies_takes_everything_with_it(project: Project) -> None:
    launch = project.launch()
    launch.until_ready()
    family = launch.family()
    supervisor = next(
        process for process in family if "supervisor.supervisord" in process.cmdline()
    )

    supervisor.kill()

    assert launch.wait(30) == 1
    assert left_of(family) == []
    assert "supervisor has ended by itself" in launch.output


def test_a_launcher_that_is_killed_leaves_nothing(project: Project) -> None:
    launch = project.launch()
    launch.until_ready()
    family = launch.family()

    launch.process.kill()

    # At once again: what is left of the first run is waited for, and its data is found.
    second = project.launch()
    second.until_ready()
    launch.wait()
    assert left_of(family) == []
    second.process.terminate()
    assert second.wait(20) == 0
