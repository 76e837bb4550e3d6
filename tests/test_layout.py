"""Where code is: the import contracts hold, and importing the package does nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.system import ROOT, clean_environment

OURS = ("app", "demo", "tasks", "models", "benchmarks", "tests")


def python(code: str) -> str:
    """What a fresh interpreter prints, without any setting in its environment."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_imports_go_where_the_contracts_let_them() -> None:
    """The contracts are in pyproject.toml, each with its reason as its name."""
    ended = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 broken" in ended.stdout


def test_importing_the_package_does_nothing() -> None:
    assert (ROOT / "app" / "__init__.py").read_text(encoding="utf-8") == ""
    added = json.loads(
        python(
            "import json, sys, threading\n"
            "before = set(sys.modules)\n"
            "import app\n"
            "assert threading.active_count() == 1\n"
            "print(json.dumps(sorted(set(sys.modules) - before)))"
        )
    )
    assert added == ["app"]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        # The launcher comes up, and says what is wrong with the settings, without the database's
        # library, the web's or the workers'.
        ("app.cli", ("sqlalchemy", "flask", "celery", "pycurl", "redis")),
        ("app.settings", ("sqlalchemy", "flask", "celery", "pycurl", "redis")),
        # Whoever hints from the web imports no task.
        ("app.deps", ("flask", "tasks")),
        ("app.factory", ("tasks",)),
        ("models", ("flask", "celery", "app")),
        # Only who fits a model pays for what fits it: a second and some 90 MB.
        ("app.services.risk_training", ("flask", "celery", "sklearn", "scipy")),
        ("beat_schedule", ("flask", "celery", "app", "tasks", "models")),
    ],
)
def test_a_part_comes_without_what_it_does_not_need(module: str, absent: tuple[str, ...]) -> None:
    """No setting is there, either: nothing but tasks/worker.py may read them at import."""
    loaded = json.loads(
        python(f"import json, sys\nimport {module}\nprint(json.dumps(sorted(sys.modules)))")
    )
    assert set(loaded).isdisjoint(absent)


def test_nothing_is_called_utils() -> None:
    """A name that says nothing is where everything ends up."""
    empty_words = {"utils", "util", "helpers", "helper", "common", "misc"}
    for folder in OURS:
        for path in (ROOT / folder).rglob("*"):
            words = path.name.replace("-", "_").partition(".")[0].lower().split("_")
            assert empty_words.isdisjoint(words), path


def test_every_source_folder_is_a_package() -> None:
    """A folder without __init__.py is not seen by the contracts."""
    for folder in ("app", "demo", "tasks", "models"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.is_relative_to(ROOT / "models" / "migrations"):
                continue  # Alembic loads them by their path
            assert (path.parent / "__init__.py").exists(), path


def test_services_take_their_time_and_session_from_the_caller() -> None:
    """A clock of its own would be this machine's, and processes compare times."""
    for path in (ROOT / "app" / "services").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in ("datetime.now(", "utcnow(", "time.time("):
            assert word not in text, f"{word} in {path}"
