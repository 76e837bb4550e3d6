"""A lane: one worker process's own loop, which works whether or not the broker is there.

The loop is the only one that drains: hints, ticks and its own polling all just make it look.
So a Redis that is gone costs at most the polling interval, and nothing needs a lock.
"""

import gc
import os
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import structlog
from celery import bootsteps
from sqlalchemy.exc import SQLAlchemyError

from app.deps import Deps, build
from app.services.presence import SEEN_EVERY_SECONDS, i_am_gone, i_am_here
from app.services.status import is_migrated
from app.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
AFTER_ERROR_SECONDS = 0.5
PASS_SECONDS = 5.0
TASK_WAITS_SECONDS = 10.0
COLLECT_AFTER = 20_000


class Runner(Protocol):
    """What a lane does: `run` works for a few seconds at most, and can be called again."""

    def run(
        self, wants_look: Callable[[], bool], stopping: Callable[[], bool]
    ) -> Mapping[str, Any]: ...

    @property
    def is_busy(self) -> bool:
        """Whether something is in flight, so that `run` is to be called again at once."""
        ...

    def close(self) -> None: ...


class InTurn:
    """Several runners as one: each has its turn in every pass."""

    def __init__(self, *runners: Runner) -> None:
        self._runners = runners

    def run(
        self, wants_look: Callable[[], bool], stopping: Callable[[], bool]
    ) -> Mapping[str, Any]:
        wanted = wants_look()
        report: dict[str, Any] = {}
        for runner in self._runners:
            report |= runner.run(lambda: wanted, stopping)
        return report

    @property
    def is_busy(self) -> bool:
        return any(runner.is_busy for runner in self._runners)

    def close(self) -> None:
        for runner in self._runners:
            runner.close()


class Lane:
    """One thread with its runner. Made in the worker, after whatever fork there was."""

    def __init__(self, name: str, worker: str, deps: Deps, make: Callable[[Deps], Runner]) -> None:
        self.deps = deps
        self.worker = worker
        self._name = name
        self._make = make
        self._stop = threading.Event()
        self._look = threading.Event()
        self._passed = threading.Condition()
        self._begun = self._ended = 0
        self._report: Mapping[str, Any] = {}
        self._seen_at = 0.0
        self._last_claim_at: datetime | None = None
        self._thread = threading.Thread(target=self._loop, name=f"lane-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._look.set()
        self._thread.join()
        self.deps.close()

    def look(self) -> Mapping[str, Any]:
        """Make the loop look now; its report of the next whole pass."""
        with self._passed:
            # A pass that has begun may have looked before what we were called for was there.
            wanted = self._begun + 1
            self._look.set()
            done = self._passed.wait_for(
                lambda: self._ended >= wanted or self._stop.is_set(), TASK_WAITS_SECONDS
            )
            return dict(self._report) if done else {"still": "running"}

    def _wants_look(self) -> bool:
        wanted = self._look.is_set()
        self._look.clear()
        return wanted

    def _loop(self) -> None:
        self._wait_for_database()
        runner = self._make(self.deps)
        while not self._stop.is_set():
            try:
                self._show_presence()
                self._begun += 1
                report = runner.run(self._wants_look, self._stop.is_set)
            except SQLAlchemyError as error:
                log.warning(
                    "the database is away", action="lane_waits", lane=self._name, error=str(error)
                )
                self._stop.wait(AFTER_ERROR_SECONDS)
                continue
            except Exception:
                # One bad row must not end the lane: whatever it was, look again.
                log.exception("a pass failed", action="lane_failed", lane=self._name)
                self._stop.wait(AFTER_ERROR_SECONDS)
                continue
            self._note(report)
            if not runner.is_busy:
                self._look.wait(POLL_SECONDS)
        runner.close()
        self._say_goodbye()

    def _note(self, report: Mapping[str, Any]) -> None:
        if report.get("claimed") or report.get("checked"):
            self._last_claim_at = self.deps.clock.now()
        with self._passed:
            self._ended = self._begun
            self._report = report
            self._passed.notify_all()

    def _wait_for_database(self) -> None:
        """Until it answers and is migrated: programs start in any order."""
        while not self._stop.is_set():
            try:
                with self.deps.reading() as session:
                    if is_migrated(session):
                        return
            except SQLAlchemyError:
                pass
            self._stop.wait(AFTER_ERROR_SECONDS)

    def _show_presence(self) -> None:
        now = self.deps.clock.monotonic()
        if now < self._seen_at + SEEN_EVERY_SECONDS:
            return
        self._seen_at = now
        with self.deps.unit_of_work() as work:
            i_am_here(
                work.session, work.now, self.worker, self._name, os.getpid(), self._last_claim_at
            )

    def _say_goodbye(self) -> None:
        try:
            with self.deps.unit_of_work() as work:
                i_am_gone(work.session, self.worker)
        except SQLAlchemyError as error:
            log.info("not signed off", action="goodbye_failed", error=str(error))


_lane: Lane | None = None


def this_lane() -> Lane:
    """The lane of this worker process."""
    if _lane is None:
        raise RuntimeError("no lane runs in this process; tasks run in a worker")
    return _lane


def lane_step(
    name: str, worker: str, settings: Settings, make: Callable[[Deps], Runner]
) -> type[bootsteps.StartStopStep]:
    """The worker's bootstep that runs the lane.

    A step of the worker, not of the consumer: those restart with the broker's connection.
    """

    class LaneStep(bootsteps.StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def start(self, _worker: object) -> None:
            global _lane
            _lane = Lane(name, worker, build(settings, worker=True), make)
            # What is there by now stays. A lane makes many small things that hold no circles: the
            # collector would look at all of it again and again, and find nothing.
            gc.collect()
            gc.freeze()
            gc.set_threshold(COLLECT_AFTER)
            _lane.start()

        def stop(self, _worker: object) -> None:
            if _lane is not None:
                _lane.stop()

    return LaneStep
