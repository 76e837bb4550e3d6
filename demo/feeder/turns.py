"""Who is at it when: one thread, a turn after the other."""

import heapq
import logging
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import NoReturn

from app.cli.exits import Failure

# Does something, and says in how many seconds to do it again.
Turn = Callable[[], float]
AGAIN_AFTER_FAILURE_SECONDS = 5.0

log = logging.getLogger(__name__)


def go_round(turns: Sequence[Turn]) -> NoReturn:
    """For ever. A turn that Tocsin refuses, or doesn't answer, is tried again later."""
    order = count()
    agenda = [(time.monotonic(), next(order), turn) for turn in turns]
    while True:
        time.sleep(max(0.0, agenda[0][0] - time.monotonic()))
        _due_at, _order, turn = heapq.heappop(agenda)
        try:
            pause = turn()
        except Failure as failure:
            log.warning("%s", failure)
            pause = AGAIN_AFTER_FAILURE_SECONDS
        heapq.heappush(agenda, (time.monotonic() + pause, next(order), turn))
