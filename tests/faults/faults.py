"""What can happen to a program or a server, and a seeded scheduler that makes it happen."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
import redis

Find = Callable[[], Sequence[psutil.Process]]
Undo = Callable[[], None]

REDIS_WITHIN_SECONDS = 1.0
HIT_WHILE_IT_STARTS_SHARE = 0.05
UNDONE_WITHIN_SECONDS = 30.0


class Missed(Exception):
    """There was nobody to hit just now."""


@dataclass(frozen=True)
class Fault:
    """`strike` makes it happen, and says how it ends where it does not end by itself.

    Either raises Missed when it can't be just now. `lasts` is for how long, in seconds. Kills
    are those by SIGKILL, of one process each.
    """

    name: str
    weight: float
    strike: Callable[[random.Random], Undo | None]
    lasts: float = 0.0
    is_kill: bool = False


@dataclass(frozen=True, slots=True)
class Struck:
    """`at` is monotonic."""

    name: str
    at: float
    is_kill: bool


def kill(
    name: str,
    weight: float,
    find: Find,
    spared_seconds: float,
    *,
    by: signal.Signals = signal.SIGKILL,
    connected: bool = True,
) -> Fault:
    """One of the processes found, when it has been there for so long.

    With `connected` it is spared until it has a connection to somebody, most times: who is killed
    whenever he comes up proves little, and on a slow machine that would be everybody.
    """

    def strike(chance: random.Random) -> None:
        found = find()
        if chance.random() >= HIT_WHILE_IT_STARTS_SHARE:
            found = _grown_up(found, spared_seconds, connected=connected)
        process = chance.choice(_awake(found))
        # It may have ended by itself since: then that was not us.
        try:
            process.send_signal(by)
        except psutil.NoSuchProcess:
            raise Missed from None

    return Fault(name, weight, strike, is_kill=by is signal.SIGKILL)


def freeze(name: str, weight: float, find: Find, lasts: float, *, everyone: bool = False) -> Fault:
    """SIGSTOP, and SIGCONT after a while, of one or of all."""

    def strike(chance: random.Random) -> Undo:
        found = _awake(find())
        chosen = found if everyone else [chance.choice(found)]
        for process in chosen:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

        def thaw() -> None:
            for process in chosen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

        return thaw

    return Fault(name, weight, strike, lasts)


def flush(name: str, weight: float, url: str) -> Fault:
    """Everything in a Redis is gone."""

    def strike(_chance: random.Random) -> None:
        _command(url, "FLUSHALL")

    return Fault(name, weight, strike)


def fill(name: str, weight: float, url: str, lasts: float) -> Fault:
    """A Redis that has no memory left: where nothing may be evicted, it refuses writes."""

    def strike(_chance: random.Random) -> Undo:
        before = _command(url, "CONFIG", "GET", "maxmemory")["maxmemory"]
        _command(url, "CONFIG", "SET", "maxmemory", "1")

        # One that was killed meanwhile came back as it is configured, which is the same.
        def give_back() -> None:
            _command(url, "CONFIG", "SET", "maxmemory", before)

        return give_back

    return Fault(name, weight, strike, lasts)


def _command(url: str, *words: str) -> dict[str, str]:
    options = {"socket_timeout": REDIS_WITHIN_SECONDS, "decode_responses": True}
    try:
        with redis.Redis.from_url(url, **options) as client:
            answer = client.execute_command(*words)
    except redis.RedisError:
        raise Missed from None
    return answer if isinstance(answer, dict) else {}


def _awake(found: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
    """Those that are not stopped. Raises Missed when there are none."""
    gone = {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    awake = [process for process in found if _of(process, lambda it: it.status() not in gone)]
    if not awake:
        raise Missed
    return awake


def _grown_up(
    found: Sequence[psutil.Process], seconds: float, *, connected: bool
) -> Sequence[psutil.Process]:
    def is_up(process: psutil.Process) -> bool:
        is_old = time.time() - process.create_time() >= seconds
        return is_old and (
            not connected
            or any(
                connection.status != psutil.CONN_LISTEN
                for connection in process.net_connections("all")
            )
        )

    return [process for process in found if _of(process, is_up)]


def _of(process: psutil.Process, look: Callable[[psutil.Process], bool]) -> bool:
    """What is seen of a process; nothing, when it has just ended."""
    try:
        return look(process)
    except psutil.NoSuchProcess:
        return False


class Storm:
    """Strikes one fault after another, with short pauses, as the seed decides."""

    def __init__(self, faults: Sequence[Fault], pause_seconds: float, seed: int) -> None:
        self.struck: list[Struck] = []
        self._faults = faults
        self._pause = pause_seconds
        # Apart, so that who is there to be hit does not change what comes next.
        self._chance, self._victims = random.Random(seed), random.Random(seed)
        self._lasting: list[tuple[float, str, Undo]] = []

    @property
    def kills(self) -> int:
        return sum(one.is_kill for one in self.struck)

    def rage(self, seconds: float, tick: Callable[[], None]) -> None:
        """For so long. `tick` is called after every strike. In the end all is undone."""
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                self._undo(time.monotonic())
                self._strike()
                tick()
                # Exponential, as independent faults come; but none waits for long.
                time.sleep(min(self._chance.expovariate(1 / self._pause), 4 * self._pause))
        finally:
            self._undo_all(tick)

    def _strike(self) -> None:
        (fault,) = self._chance.choices(self._faults, [fault.weight for fault in self._faults])
        if any(fault.name == name for _, name, _ in self._lasting):
            return
        try:
            undo = fault.strike(self._victims)
        except Missed:
            return
        now = time.monotonic()
        self.struck.append(Struck(fault.name, now, fault.is_kill))
        if undo is not None:
            self._lasting.append((now + fault.lasts, fault.name, undo))

    def _undo(self, now: float) -> None:
        over = [one for one in self._lasting if one[0] <= now]
        self._lasting = [one for one in self._lasting if one[0] > now]
        for one in over:
            try:
                one[2]()
            except Missed:
                self._lasting.append(one)

    def _undo_all(self, tick: Callable[[], None]) -> None:
        """Raises TimeoutError when that is not to be had."""
        give_up_at = time.monotonic() + UNDONE_WITHIN_SECONDS
        self._undo(float("inf"))
        while self._lasting:
            if time.monotonic() > give_up_at:
                names = [name for _, name, _ in self._lasting]
                raise TimeoutError(f"these can't be undone: {names}")
            tick()
            time.sleep(self._pause)
            self._undo(float("inf"))
