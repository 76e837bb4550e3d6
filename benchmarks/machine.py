"""The machine: what it is, how much of it was stolen, and who used its processors."""

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg
import redis

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ticks:
    """Of /proc/stat, in seconds: all there was, what was used, and what the host kept from us."""

    total: float
    busy: float
    stolen: float

    @classmethod
    def now(cls) -> "Ticks":
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
        user, nice, system, idle, waiting, irq, softirq, stolen = (
            int(field) / TICKS_PER_SECOND for field in fields
        )
        busy = user + nice + system + irq + softirq
        return cls(busy + idle + waiting + stolen, busy, stolen)

    def since(self, before: "Ticks") -> "Ticks":
        return Ticks(
            self.total - before.total, self.busy - before.busy, self.stolen - before.stolen
        )


def cpu_seconds(pids: Iterable[int]) -> float:
    """What these processes and all their descendants have used, those that ended included."""
    used = 0.0
    for pid in pids:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                used += sum(process.cpu_times()[:4])  # its own, and of its children that ended
            except psutil.NoSuchProcess:
                continue  # its time is with its parent now, or will be with the next look
    return used


def children_named(name: str) -> list[int]:
    """Our own child processes of this name."""
    return [child.pid for child in psutil.Process().children() if child.name() == name]


def describe(database_url: str, redis_url: str) -> Mapping[str, str]:
    with psycopg.connect(database_url) as connection:
        asked = ("server_version", "synchronous_commit", "fsync")
        of_postgres = {name: _shown(connection, name) for name in asked}
    with redis.Redis.from_url(redis_url) as client:
        of_redis = client.info("server")
    packages = ("celery", "psycopg", "requests", "pycurl")
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "postgresql": of_postgres["server_version"],
        "synchronous_commit": of_postgres["synchronous_commit"],
        "fsync": of_postgres["fsync"],
        "redis": str(of_redis["redis_version"]),
    } | {name: version(name) for name in packages}


def _shown(connection: psycopg.Connection[tuple[str]], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
