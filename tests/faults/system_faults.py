"""The faults of a storm on the whole of Tocsin: what is hit, how often, how it is found.

Everything is found by pid among the launcher's own descendants. The weights let the system make
progress: who starts slowly, or stops everybody, is hit more rarely. A worker that is killed takes
what it had claimed along for as long as its leases last, up to the cap of every webhook.
"""

import signal
from collections.abc import Sequence
from urllib.parse import urlsplit

import psutil

from tests.faults.faults import Fault, Find, fill, flush, freeze, kill
from tests.harness.system import System

# A lease and its renewal: who was stopped for longer has lost what it had in flight.
LEASE_SECONDS = 10.0
PAST_THE_LEASE_SECONDS = LEASE_SECONDS + 4.0
# A Python program takes one or two to come up, and is to do something before it is hit again.
SPARED_SECONDS = 4.0


def program(system: System, *words: str) -> Find:
    return lambda: system.processes(*words)


def web(system: System, *, master: bool) -> Find:
    """gunicorn's master is a child of the supervisor, its workers are children of a gunicorn."""

    def find() -> Sequence[psutil.Process]:
        found = {process.pid: process for process in system.processes("gunicorn")}
        return [
            process
            for process in found.values()
            if process.is_running() and (process.ppid() not in found) is master
        ]

    return find


def redis_server(system: System, url: str) -> Find:
    return program(system, "redis-server", f":{urlsplit(url).port}")


def backends(system: System) -> Find:
    """The PostgreSQL processes that serve a client."""

    def find() -> Sequence[psutil.Process]:
        return [one for one in system.processes("postgres:") if _title(one).count("tocsin")]

    return find


def _title(process: psutil.Process) -> str:
    """Empty for one that has ended meanwhile."""
    try:
        return process.cmdline()[0]
    except (psutil.NoSuchProcess, IndexError):
        return ""


def all_faults(system: System) -> Sequence[Fault]:
    settings = system.settings
    broker_url, cache_url = settings["REDIS_URL"], settings["CACHE_REDIS_URL"]
    broker, cache = redis_server(system, broker_url), redis_server(system, cache_url)
    postmaster = program(system, "bin/postgres", "-D")
    deliver = program(system, "tasks", "deliver")
    return (
        kill("kill deliver", 10, deliver, SPARED_SECONDS),
        kill("kill health", 7, program(system, "tasks", "health"), SPARED_SECONDS),
        kill("kill jobs", 7, program(system, "tasks", "jobs"), SPARED_SECONDS),
        kill("kill beat", 7, program(system, "tasks.beat"), SPARED_SECONDS),
        kill("kill web worker", 10, web(system, master=False), SPARED_SECONDS),
        kill("kill web master", 1, web(system, master=True), 4 * SPARED_SECONDS),
        kill("kill broker", 30, broker, 1.0),
        kill("kill cache", 30, cache, 1.0, connected=False),
        kill("kill backend", 1.5, backends(system), 2 * SPARED_SECONDS),
        kill("kill postmaster", 1.5, postmaster, 3 * SPARED_SECONDS),
        kill("stop postgres -m immediate", 1, postmaster, 3 * SPARED_SECONDS, by=signal.SIGQUIT),
        freeze("freeze deliver", 1, deliver, PAST_THE_LEASE_SECONDS),
        freeze("freeze broker", 1, broker, 3.0),
        freeze("freeze cache", 1, cache, 3.0),
        flush("flush broker", 4, broker_url),
        fill("fill broker", 2, broker_url, 4.0),
    )
