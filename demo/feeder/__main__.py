"""The feeder: `python -m demo.feeder`, with the resolved settings of a running Tocsin."""

import logging
import signal
import sys
import time
import urllib.request
from types import FrameType
from typing import NoReturn

from app.cli.exits import Failure
from app.settings import load_settings
from demo.feeder.alertmanager import Alertmanager
from demo.feeder.furnish import ImportFailed, furnish
from demo.feeder.incidents import Incidents
from demo.feeder.metrics import Metrics
from demo.feeder.people import People
from demo.feeder.readers import DeadLetters, Wallboards
from demo.feeder.shift import Shift
from demo.feeder.turns import go_round
from demo.secrets import Secrets

LOOK_EVERY_SECONDS = 0.5
AGAIN_AFTER_FAILURE_SECONDS = 5.0
WALLBOARDS = ("wallboard, office", "wallboard, hall", "wallboard, night shift")

log = logging.getLogger("demo.feeder")


def main() -> NoReturn:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # At once: nothing here is half done that the next run would not do again.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    settings = load_settings()
    _await_ready(f"{settings.local_url}/health/ready")

    secrets = Secrets.of_environment()
    people = People(settings, secrets)
    furnish(people.admin, people.setup_key, secrets)
    log.info("webhooks, rules, silences and schedules are there")

    incidents = Incidents(people.machine("monitoring"))
    incidents.first()
    life = [
        Metrics(people.machine("metrics")).turn,
        incidents.burst,
        incidents.turn,
        Shift(people.person("omar", time.monotonic)).turn,
        Alertmanager(people.machine("alertmanager")).turn,
        Wallboards([people.machine(name, "viewer", fresh=False) for name in WALLBOARDS]).turn,
        DeadLetters(people.machine("dead letters")).turn,
    ]
    go_round(life)


def _await_ready(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=2):
                return
        except OSError:
            time.sleep(LOOK_EVERY_SECONDS)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    try:
        main()
    except (Failure, ImportFailed) as error:
        # The supervisor starts it again, and what was done is not done twice.
        log.error("%s", error)
        time.sleep(AGAIN_AFTER_FAILURE_SECONDS)
        sys.exit(1)
