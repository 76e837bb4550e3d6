"""`python -m tasks LANE NUMBER`: one worker process of a lane."""

import socket
import sys

from app.adapters.garbage import collect_later

collect_later()

import beat_schedule  # noqa: E402
from tasks.deliver import make_drain  # noqa: E402
from tasks.health import make_checker  # noqa: E402
from tasks.housekeeping import make_housekeeper  # noqa: E402
from tasks.lane import lane_step  # noqa: E402
from tasks.worker import celery, settings  # noqa: E402

RUNNERS = {
    "deliver": make_drain,
    "health": make_checker,
    "jobs": make_housekeeper,
}
# Threads, not processes: a forking parent would hand its connections to its children. Two,
# so that a task that waits for the lane's loop does not keep the next from being heard.
CONCURRENCY = 2


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in beat_schedule.LANES:
        sys.stderr.write(f"usage: python -m tasks {'|'.join(beat_schedule.LANES)} NUMBER\n")
        return 2
    lane, number = arguments
    name = f"{lane}-{number}@{socket.gethostname()}"
    celery.steps["worker"].add(lane_step(lane, name, settings, RUNNERS[lane]))
    worker = celery.Worker(
        hostname=name,
        queues=[lane],
        pool="threads",
        concurrency=CONCURRENCY,
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
