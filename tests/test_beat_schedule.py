"""The schedule is data: it imports nothing of ours, and every name in it leads somewhere.

import-linter can't check this: a single file can't be a root of its own.
"""

import ast
import json
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

import beat_schedule
from app.launcher import procfile
from tests.harness.system import ROOT, clean_environment

OURS = {"app", "tasks", "models", "tests", "benchmarks"}
DAY_SECONDS = 86_400

# A process of its own: tasks/worker.py reads the settings when it is imported, and never again.
PRINT_TASKS = (
    "import json; from tasks.worker import celery; celery.loader.import_default_modules();"
    " print(json.dumps(sorted(celery.tasks)))"
)


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse((ROOT / "beat_schedule.py").read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import is one of ours"
            imported.add(str(node.module).partition(".")[0])
    assert imported & OURS == set()
    assert imported <= sys.stdlib_module_names


def test_every_task_in_it_is_registered() -> None:
    nowhere = "127.0.0.1:1"  # nothing is dialled at import
    environment = clean_environment(
        {
            "DATABASE_URL": f"postgresql://tocsin:none@{nowhere}/tocsin",
            "REDIS_URL": f"redis://{nowhere}/0",
            "JWT_SECRET_KEY": "only for a test, so long enough is good enough",
            "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }
    )
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_TASKS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    registered = set(json.loads(printed.stdout))
    wanted = {job["task"] for job in beat_schedule.JOBS.values()}
    assert wanted <= registered
    # And nothing of ours is registered that no job asks for.
    assert {name for name in registered if not name.startswith("celery.")} == wanted


def test_every_lane_is_started() -> None:
    assert {job["lane"] for job in beat_schedule.JOBS.values()} <= set(beat_schedule.LANES)
    programs = procfile.read(ROOT / "Procfile").programs
    workers = [
        program.argv[3:] for program in programs if program.argv[:3] == ("python", "-m", "tasks")
    ]
    assert {lane for lane, _number in workers} == set(beat_schedule.LANES)
    assert len(set(workers)) == len(workers), "two workers with one name"
    assert ("python", "-m", "tasks.beat") in {program.argv for program in programs}


@pytest.mark.parametrize("name", beat_schedule.JOBS)
def test_an_interval_divides_a_day(name: str) -> None:
    """So that slots begin at the same times every day."""
    interval = beat_schedule.JOBS[name]["interval_seconds"]
    assert interval >= 1
    assert DAY_SECONDS % interval == 0
