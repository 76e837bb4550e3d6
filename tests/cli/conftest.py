"""Commands, called in this process against the system that all tests share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from tests.harness.client import Client
from tests.harness.system import System


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Tocsin = Callable[..., Answer]


@pytest.fixture
def tocsin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Tocsin:
    """The command line in an empty folder, with none of our environment's settings."""
    for name in ("DATA_DIR", "DATABASE_URL", "TOCSIN_URL", "TOCSIN_TOKEN", "TOCSIN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / ".data"))

    def call(*arguments: str) -> Answer:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture
def here(tocsin: Tocsin, client: Client, system: System, monkeypatch: pytest.MonkeyPatch) -> Tocsin:
    """The command line on the machine of the system, which has neither webhooks nor alerts."""
    monkeypatch.setenv("DATA_DIR", str(system.data_dir))
    return tocsin
