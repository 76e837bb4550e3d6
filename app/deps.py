"""The composition root: everything that a process works with, made once from the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

import beat_schedule
from app.adapters.cache.board import Board
from app.adapters.cache.cache import Cache
from app.adapters.cache.redis_level import RedisLevel
from app.adapters.changes import ChangeFeed
from app.adapters.cipher import Cipher
from app.adapters.clock import Clock
from app.adapters.database import Database
from app.adapters.guard import Guard
from app.adapters.queue import HintQueue, Message
from app.adapters.quick_redis import QuickRedis
from app.domain.events import Changed, ChecksDue, DeliveriesQueued, Event, JobRequested
from app.services.audit import acting
from app.services.back_pressure import BackPressure
from app.services.cache_reports import Reporter
from app.services.intake import Intake
from app.services.meter import Meter
from app.services.queries.asked import Asked
from app.services.queries.query import Priority
from app.services.queries.reader import Reader
from app.services.queries.registry import TABLES_READ
from app.services.series import SeriesBook
from app.services.warm_threads import WantedThread, WarmStart
from app.services.warming import Warmer
from app.settings import Settings
from app.version import VERSION
from models.migrate import head

HINT_EXPIRES_SECONDS = 10.0
WORKER_POOL_MAX = 5


@dataclass(frozen=True, slots=True)
class Work:
    """A unit of work: one transaction, its time by PostgreSQL's clock, and what has happened."""

    session: Session
    now: datetime
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Deps:
    settings: Settings
    database: Database
    clock: Clock
    cipher: Cipher
    guard: Guard
    broker: QuickRedis
    cache: Cache
    cache_redis: QuickRedis | None
    reader: Reader
    board: Board
    warmer: Warmer
    warm_start: WarmStart
    wanted: WantedThread
    reporter: Reporter
    queue: HintQueue
    changes: ChangeFeed
    back_pressure: BackPressure
    intake: Intake
    meter: Meter

    @contextmanager
    def unit_of_work(self) -> Iterator[Work]:
        """One transaction. What follows its commit happens here, and nowhere else.

        Listeners are best effort: whatever they miss, somebody's polling finds.
        """
        with self.database.session() as session:
            now = self.database.now(session, acting())
            work = Work(session, now)
            yield work
        for event in dict.fromkeys(work.events):
            if isinstance(event, Changed):
                self.changes.note(event.kind, event.ids)
            else:
                self.queue.hint(_hint_for(event))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for questions: no clock is asked, and nothing follows."""
        with self.database.session() as session:
            yield session

    def close(self) -> None:
        self.meter.close()
        self.queue.close()
        self.changes.close()
        self.broker.close()
        self.reporter.close()
        self.wanted.close()
        self.board.close()
        self.cache.close()
        if self.cache_redis is not None:
            self.cache_redis.close()
        self.database.close()


def _hint_for(event: DeliveriesQueued | ChecksDue | JobRequested) -> Message:
    match event:
        case DeliveriesQueued():
            job = beat_schedule.JOBS["deliver"]
            return Message(job["task"], job["lane"], HINT_EXPIRES_SECONDS)
        case ChecksDue():
            job = beat_schedule.JOBS["health-check"]
            return Message(job["task"], job["lane"], HINT_EXPIRES_SECONDS)
        case JobRequested(task, lane, execution_id):
            return Message(task, lane, HINT_EXPIRES_SECONDS, {"execution_id": execution_id})


def build(settings: Settings, *, worker: bool = False) -> Deps:
    """Make the dependencies of one process: after the fork, where there is one."""
    pool_max = min(settings.db_pool_max, WORKER_POOL_MAX) if worker else settings.db_pool_max
    clock = Clock()
    cache = Cache(
        clock,
        ttl=settings.cache_ttl_seconds,
        # A worker answers nobody: what it loads is for L2.
        max_items=0 if worker else settings.cache_l1_max_items,
        second=_second_level(settings),
        broker_url=settings.redis_url,
    )
    database = Database(
        settings.database_url,
        pool_min=min(settings.db_pool_min, pool_max),
        pool_max=pool_max,
        watched=TABLES_READ,
        on_written=cache.wrote,
        clock=clock,
    )
    book = SeriesBook(clock)
    cipher = Cipher(settings.encryption_keys)
    asked = Asked(lambda: clock.now().timestamp())
    reader = Reader(cache, database, cipher, beat_schedule.JOBS, asked)
    board = Board(settings.redis_url)
    warmer = Warmer(cache, reader, asked, board, clock, _warmed_every())
    wanted = WantedThread(warmer)
    if not worker:
        cache.on_wanted = wanted.want
    kind = "worker" if worker else "web"
    return Deps(
        settings=settings,
        database=database,
        clock=clock,
        cipher=cipher,
        guard=Guard(settings.egress_networks),
        broker=QuickRedis(settings.redis_url),
        cache=cache,
        cache_redis=QuickRedis(settings.cache_redis_url) if settings.cache_redis_url else None,
        reader=reader,
        board=board,
        warmer=warmer,
        warm_start=WarmStart(warmer),
        wanted=wanted,
        reporter=Reporter(kind, cache, reader, asked, board, clock),
        queue=HintQueue(settings.redis_url),
        changes=ChangeFeed(settings.redis_url),
        back_pressure=BackPressure(clock, settings.queue_limit),
        intake=Intake(clock, book, settings.metric_series_limit, settings.metric_inbox_limit),
        meter=Meter(database, clock, book),
    )


def _warmed_every() -> dict[Priority, float]:
    return {one: beat_schedule.JOBS[f"cache-warm-{one}"]["interval_seconds"] for one in Priority}


def _second_level(settings: Settings) -> RedisLevel | None:
    if not settings.cache_redis_url:
        return None
    # Two systems that share a Redis by mistake must not read each other's answers.
    database = urlsplit(settings.database_url)
    whose = f"{database.hostname}:{database.port}{database.path}"
    return RedisLevel(
        settings.cache_redis_url,
        release=f"{VERSION}-{head()}",
        database=blake2b(whose.encode(), digest_size=6).hexdigest(),
    )
