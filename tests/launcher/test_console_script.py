"""`tocsin` is there after `make run`, and runs the checkout from wherever it is called."""

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.harness.system import ROOT, clean_environment

PARTS = ("app", "models", "tasks", "beat_schedule.py", "Makefile", "pyproject.toml", "README.md",
         "Procfile", "requirements.lock")  # fmt: skip


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_installs_the_command(tmp_path: Path) -> None:
    """In a copy, with the locked packages of this environment as if they had been installed."""
    project = tmp_path / "a project"
    project.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, project / name)
    venv.create(project / ".venv", symlinks=True)
    (site_packages,) = (project / ".venv" / "lib").glob("python*/site-packages")
    (site_packages / "locked.pth").write_text(sysconfig.get_path("purelib"))
    (project / ".venv" / ".runtime").touch()

    made = run(["make", ".venv/bin/tocsin"], project)
    assert made.returncode == 0, made.stdout + made.stderr
    command = project / ".venv" / "bin" / "tocsin"

    said = run([str(command), "doctor", "--json"], tmp_path, PORT="x")
    assert said.returncode == 1, said.stderr
    assert "PORT:" in said.stdout

    # It is the checkout that runs, not a copy of it.
    (project / "app" / "version.py").write_text('VERSION = "7.8.9"\n')
    assert "7.8.9" in run([str(command), "--version"], tmp_path).stdout
    assert "up to date" in run(["make", ".venv/bin/tocsin"], project).stdout


def run(argv: list[str], folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        argv,
        cwd=folder,
        env=clean_environment({"PATH": os.environ["PATH"], **settings}),
        capture_output=True,
        text=True,
        check=False,
    )
