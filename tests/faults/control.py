"""The control: the naive Celery sender in the same harness, with the same ledger.

It must lose something. A harness in which it doesn't could not see a loss of Tocsin's either.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGKILL

import psutil
import redis
from kombu.exceptions import KombuError

from app.adapters.embedded import dependent, prepare
from app.services.webhooks import new_secret
from tests.faults import naive
from tests.faults.books import Inspector
from tests.faults.faults import Fault, Storm, fill, flush, freeze, kill
from tests.faults.ledger import judge
from tests.faults.load import FIRING, Hook, Load, Raised, key_of
from tests.faults.outcome import Outcome, Say, Watch, outcome
from tests.faults.receiver import HOOKS, Receiver, running_receiver
from tests.harness.system import ROOT, clean_environment, data_dir
from tests.harness.waiting import eventually

WORKER = (
    *("celery", "-A", "tests.faults.naive", "worker"),
    *("-c", "4", "-Q", naive.QUEUE, "-n", "naive@%h"),
)
SPARED_SECONDS = 4.0
UP_WITHIN_SECONDS = 60.0
# What was in a lost worker's hands comes back after the visibility time-out, and may be lost
# once more by the retry that it waits for.
QUIET_SECONDS = 2.5 * naive.VISIBILITY_SECONDS
SETTLED_WITHIN_SECONDS = 120.0


class Kept:
    """A program that is started again when it died, whenever `revive` is called."""

    def __init__(self, argv: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._argv, self._environment, self._log = argv, environment, log
        self._groups: list[int] = []
        self._process = self._start()

    def find(self) -> Sequence[psutil.Process]:
        """Itself."""
        with suppress(psutil.NoSuchProcess):
            return [psutil.Process(self._process.pid)]
        return []

    def children(self) -> Sequence[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children()
        return []

    def revive(self) -> None:
        if self._process.poll() is not None:
            self._process = self._start()

    def close(self) -> None:
        """Ends it, and what one that was killed has left behind."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, SIGKILL)
        self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as out:
            process = subprocess.Popen(
                self._argv,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._groups.append(process.pid)
        return process


class CelerySender:
    """Publishes a task for each message. An error of the broker says nothing of what it took."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def send(self, some: Sequence[Raised]) -> dict[int, int] | None:
        try:
            for one in some:
                self._publish(one)
        except (KombuError, redis.RedisError, OSError):
            return None
        return dict.fromkeys(range(len(some)), 0)

    def resolve(self, one: Raised) -> None:
        """It knows no end of an alert."""

    def _publish(self, one: Raised) -> None:
        body = json.dumps({"type": FIRING, "data": one.alert})
        for hook in one.hooks:
            # The same at every try, so that who tries again is no second message.
            message_id = f"msg_{key_of(one.ref, FIRING, hook.path)}"
            arguments = (self._receiver.url(hook.path), hook.secret, message_id, body)
            naive.deliver.apply_async(arguments, queue=naive.QUEUE)


@contextmanager
def running_control(folder: Path) -> Iterator[tuple[Kept, Kept, str]]:
    """The worker, its broker, and the broker's URL."""
    server = prepare(("broker",), folder)["broker"]
    environment = clean_environment({"NAIVE_BROKER_URL": server.url})
    with ExitStack() as stack:
        broker = Kept(server.argv, clean_environment({}), folder / "broker.log")
        stack.callback(broker.close)
        worker = Kept(
            dependent([sys.executable, "-m", *WORKER]), environment, folder / "worker.log"
        )
        stack.callback(worker.close)
        naive.celery.conf.update(broker_url=server.url)
        stack.callback(naive.celery.close)
        eventually(lambda: len(worker.children()) == 4, UP_WITHIN_SECONDS, "the worker")
        yield worker, broker, server.url


def control_hooks() -> Sequence[Hook]:
    return [Hook(path, number, new_secret()) for number, path in enumerate(HOOKS, 1)]


def control_faults(worker: Kept, broker: Kept, broker_url: str) -> Sequence[Fault]:
    """A kill of the worker each two seconds or so; the broker is hit far more rarely than
    Tocsin's is."""
    return (
        kill("kill worker", 8, worker.find, SPARED_SECONDS),
        kill("kill worker's child", 8, worker.children, SPARED_SECONDS, connected=False),
        kill("kill broker", 0.2, broker.find, 2 * SPARED_SECONDS, connected=False),
        flush("flush broker", 0.2, broker_url),
        fill("fill broker", 0.05, broker_url, 4.0),
        freeze("freeze broker", 0.05, broker.find, 3.0),
    )


def storm_on_control(seconds: float, seed: int, rate: float, pause: float, say: Say) -> Outcome:
    """As `storm_on_tocsin`. There are no books: what has not come when all is quiet is lost."""
    with (
        data_dir() as folder,
        running_receiver(folder / "receiver.jsonl", seed) as receiver,
        running_control(folder) as (worker, broker, broker_url),
    ):
        hooks = control_hooks()
        load = Load(lambda: CelerySender(receiver), hooks, rate, seed)
        watch = Watch(receiver, Inspector({hook.path: hook for hook in hooks}, load.journal), say)
        storm = Storm(control_faults(worker, broker, broker_url), pause, seed)

        def tick() -> None:
            worker.revive()
            broker.revive()
            watch.tell(storm, load.journal)

        load.start()
        try:
            storm.rage(seconds, tick)
        finally:
            broker.revive()
            worker.revive()
            load.stop()
        began = time.monotonic()
        eventually(lambda: _is_quiet(watch), SETTLED_WITHIN_SECONDS, "quiet")
        settled_after = time.monotonic() - began
    return outcome(
        "naive Celery",
        seconds,
        rate,
        settled_after,
        judge(load.journal.attempted(), watch.receipts),
        storm,
        load.journal,
        watch.receipts,
        (),
    )


def _is_quiet(watch: Watch) -> bool:
    """Whether nothing has come for long."""
    watch.read()
    last = max((one.at for one in watch.receipts), default=0.0)
    return time.monotonic() - last > QUIET_SECONDS
