"""What processes tell each other, by publish and subscribe on the broker's Redis.

One thread tells, coalesced and at once: L2's stamps first, then the others. Who answers a request
only leaves word with it. One thread listens; whenever it had to connect, news may have been missed,
and it says so. Both start when they are first needed, so after any fork.
"""

import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.adapters.background import Background
from app.adapters.cache.redis_level import RedisLevel
from app.domain.snapshot import Stamp

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 1.0
RETRY_SECONDS = 0.25
# So often the line is tried, and after so long a silence it is dead.
PING_SECONDS = 1.0
SILENCE_SECONDS = 3.0
SWEEP_SECONDS = 10.0
MAX_KEYS_WAITING = 10_000


class Ears(Protocol):
    """Who is told."""

    def hear(self, news: Mapping[str, Stamp]) -> None: ...
    def hear_dropped(self, keys: Iterable[str], patterns: Iterable[str]) -> None: ...
    def hear_cleared(self) -> None: ...
    def doubt(self) -> None:
        """News may have been missed: nothing is right for sure."""

    def hear_wanted(self, keys: Sequence[str]) -> None:
        """Answers under these keys will be asked for."""

    def sweep(self) -> None: ...


@dataclass
class _Word:
    """What waits to be told. Bounded: by the tables, and by MAX_KEYS_WAITING."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    cleared: bool = False
    doubted: bool = False
    # Told once at most: nothing is wrong where it was not heard.
    wanted: set[str] = field(default_factory=set)
    # Of L2, which is told by itself.
    second: dict[str, Stamp] = field(default_factory=dict)
    second_doubted: bool = False

    def __bool__(self) -> bool:
        return bool(self.for_others or self.second or self.second_doubted)

    @property
    def for_others(self) -> bool:
        return bool(
            self.stamps or self.keys or self.patterns or self.cleared or self.doubted or self.wanted
        )

    def add(self, other: "_Word") -> None:
        for mine, theirs in ((self.stamps, other.stamps), (self.second, other.second)):
            for table, stamp in theirs.items():
                mine[table] = mine.get(table, Stamp()).merged(stamp)
        self.keys |= other.keys
        self.patterns |= other.patterns
        self.cleared |= other.cleared
        self.doubted |= other.doubted
        self.wanted |= other.wanted
        self.second_doubted |= other.second_doubted
        if len(self.keys) + len(self.patterns) > MAX_KEYS_WAITING:
            self.keys, self.patterns, self.cleared = set(), set(), True


class Bus:
    """Thread-safe. Telling never waits for a server."""

    def __init__(self, broker_url: str, ears: Ears, second: RedisLevel | None) -> None:
        # Publishing knows no databases: the queues' number keeps two systems of one server apart.
        number = urlsplit(broker_url).path.strip("/") or "0"
        self._channel = f"tocsin:cache:{number}"
        self._client: Any = redis.Redis.from_url(
            broker_url,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._me = secrets.token_hex(8)
        self._ears = ears
        self._second = second
        self._word = _Word()
        self._teller = Background("cache-tell", self._tell, stop_within_seconds=2 * TIMEOUT_SECONDS)
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self._stopping = threading.Event()
        self.is_listening = False

    def tell(self, news: Mapping[str, Stamp]) -> None:
        """These tables were written to."""
        second = dict(news) if self._second is not None else {}
        self._leave(_Word(stamps=dict(news), second=second))

    def tell_dropped(self, keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self._leave(_Word(keys=set(keys), patterns=set(patterns)))

    def tell_cleared(self) -> None:
        self._leave(_Word(cleared=True))

    def tell_doubt(self) -> None:
        """Something was written, and nobody knows by which transaction."""
        self._leave(_Word(doubted=True, second_doubted=self._second is not None))

    def tell_wanted(self, keys: Iterable[str]) -> None:
        self._leave(_Word(wanted=set(keys)))

    def listen(self) -> None:
        """Begin to, if that is not so yet."""
        if self._listener is None:
            with self._lock:
                if self._listener is None and not self._stopping.is_set():
                    self._listener = threading.Thread(
                        target=self._listen, name="cache-listen", daemon=True
                    )
                    self._listener.start()

    def close(self) -> None:
        self._stopping.set()
        self._teller.close()
        with self._lock:  # one that is being started now is waited for, too
            listener = self._listener
        if listener is not None:
            listener.join(2 * TIMEOUT_SECONDS)
        self._client.close()

    def _leave(self, word: _Word) -> None:
        with self._teller.leaving():
            self._word.add(word)

    def _tell(self) -> None:
        with self._teller.taking():
            word, self._word = self._word, _Word()
        left = self._deliver(word)
        if left:
            with self._teller.taking():
                left.add(self._word)
                self._word = left
            if not self._teller.pause(RETRY_SECONDS):
                self._leave(_Word())

    def _deliver(self, word: _Word) -> _Word:
        """What could not be told."""
        left = _Word()
        if self._second is not None:
            if word.second and not self._second.hear(word.second):
                left.second = word.second
            if word.second_doubted and not self._second.forget_all():
                left.second_doubted = True
        if word.for_others:
            try:
                self._client.publish(self._channel, _encode(word, self._me))
            except (redis.RedisError, OSError) as error:
                log.warning("news wait", action="cache_news_wait", error=str(error))
                left.stamps, left.keys = word.stamps, word.keys
                left.patterns, left.cleared = word.patterns, word.cleared
                left.doubted = word.doubted
        return left

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._client.pubsub() as line:
                    line.subscribe(self._channel)
                    self._follow(line)
            except (redis.RedisError, OSError) as error:
                if self.is_listening:
                    log.warning("news cut", action="cache_news_cut", error=str(error))
                self.is_listening = False
                self._stopping.wait(RETRY_SECONDS)

    def _follow(self, line: Any) -> None:
        heard, swept = time.monotonic(), time.monotonic()
        while not self._stopping.is_set():
            message = line.get_message(timeout=PING_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard = now
                self._take(message)
            elif now - heard > SILENCE_SECONDS:
                raise redis.ConnectionError("it has gone silent")
            else:
                line.ping()
            if now - swept > SWEEP_SECONDS:
                swept = now
                self._ears.sweep()

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._ears.doubt()
            self.is_listening = True
        elif message["type"] == "message":
            self._hear(message["data"])

    def _hear(self, data: bytes) -> None:
        try:
            said = orjson.loads(data)
            if said["from"] == self._me:
                return
            news = {table: Stamp.parse(text) for table, text in said["stamps"].items()}
            keys, patterns = said["keys"], said["patterns"]
            cleared, doubted, wanted = said["cleared"], said["doubted"], said["wanted"]
        except (ValueError, KeyError, AttributeError, TypeError):
            # Of another release, perhaps. Whatever it says, nothing is right for sure.
            self._ears.doubt()
            return
        if news:
            self._ears.hear(news)
        if keys or patterns:
            self._ears.hear_dropped(keys, patterns)
        if cleared:
            self._ears.hear_cleared()
        if doubted:
            self._ears.doubt()
        if wanted:
            self._ears.hear_wanted(wanted)


def _encode(word: _Word, me: str) -> bytes:
    return orjson.dumps(
        {
            "from": me,
            "stamps": {table: str(stamp) for table, stamp in word.stamps.items()},
            "keys": sorted(word.keys),
            "patterns": sorted(word.patterns),
            "cleared": word.cleared,
            "doubted": word.doubted,
            "wanted": sorted(word.wanted),
        }
    )
