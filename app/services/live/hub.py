"""The live side of one web process: its sockets, and the threads that feed them.

Nothing runs before the first socket comes, so nothing is made before a fork.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.clock import Clock
from app.adapters.database import Database
from app.adapters.sockets import POLICY_VIOLATION, Reader, SocketLoop
from app.adapters.stream import Stream, StreamError
from app.domain.access import Principal
from app.domain.live import TOPICS, frame_of, subscription, topics_in
from app.services.live.listener import DATABASE, Listener
from app.services.live.sights import Sights
from app.services.live.teller import Teller
from app.services.live.visitors import Places, ceased

log = structlog.get_logger(__name__)

# How long a snapshot serves those who come at the same time.
SNAPSHOT_LIFE_SECONDS = 1.0
REPLAY_MOST = 1000
# A request may lose so much to a Redis that hangs, before the listener has noticed it.
QUICK_SECONDS = 0.2
CHECK_EVERY_SECONDS = 10.0
TRY_AGAIN_LATER = 1013
RESTART, RESTART_REASON = 1012, "the server restarts"
STOP_WITHIN_SECONDS = 2.0


class Hub:
    """Thread-safe. `places` limits the sockets; take one before a handshake."""

    def __init__(
        self, redis_url: str, database: Database, clock: Clock, sights: Sights, places: Places
    ) -> None:
        self.places = places
        self._url = redis_url
        self._database = database
        self._clock = clock
        self._sights = sights
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._sockets: SocketLoop | None = None
        self._listener: Listener | None = None
        self._quick = Stream(redis_url, QUICK_SECONDS)
        self._snapshot_lock = threading.Lock()
        self._snapshot: tuple[float, int, bytes] | None = None

    # A socket comes, stays and goes

    def welcome(self, reader: Reader, since: int | None) -> None:
        """Serve a reader whose handshake is done: what it missed, or how it is; then what comes."""
        sockets, listener = self._running()
        try:
            first, reader.after = self._first(listener, reader.topics, since)
        except SQLAlchemyError as error:
            log.warning("nothing to show", action="nothing_to_show", error=str(error))
            self.refuse(reader, TRY_AGAIN_LATER, "the database is away")
            return
        if listener.source == DATABASE:
            first += listener.status().wire
        sockets.attach(reader, first)

    def refuse(self, reader: Reader, code: int, reason: str) -> None:
        """Close a socket whose handshake is done, and say why."""
        sockets, _listener = self._running()
        reader.topics, reader.after = 0, sys.maxsize
        sockets.attach(reader, b"")
        sockets.close([reader], code, reason)

    def gone(self, reader: Reader) -> None:
        if reader.owner is not None:
            self.places.give_back(reader.owner.key)

    def _first(self, listener: Listener, topics: int, since: int | None) -> tuple[bytes, int]:
        """The frames that a reader begins with, and the number of the last that they tell of."""
        if since is not None and listener.source != DATABASE:
            with suppress(StreamError):
                missed = self._quick.replay(since, REPLAY_MOST)
                if missed is not None:
                    wanted = b"".join(one.wire for one in missed if one.bit & topics)
                    return wanted, missed[-1].seq if missed else since
        return self._current(listener)

    def _current(self, listener: Listener) -> tuple[bytes, int]:
        with self._snapshot_lock:
            now = self._clock.monotonic()
            if self._snapshot is None or now > self._snapshot[0] + SNAPSHOT_LIFE_SECONDS:
                # The number first: what is newer than it is told again, never missed.
                seq = listener.seq
                note = self._sights.note("snapshot", self._sights.snapshot(listener.source))
                frame = frame_of(seq, note.type, note.at.isoformat(), note.data)
                self._snapshot = (now, seq, frame.wire)
            return self._snapshot[2], self._snapshot[1]

    # What a reader says

    def heard(self, reader: Reader, text: str) -> bytes:
        """The answer to a client's message."""
        try:
            said: Any = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self._answer("error", {"detail": "This is not JSON."})
        what = said.get("type") if isinstance(said, dict) else None
        if what == "ping":
            return self._answer("pong", said.get("data"))
        if what == "subscribe":
            try:
                reader.topics = subscription(said["topics"])
            except (KeyError, TypeError):
                detail = f"subscribe needs topics: a list of {', '.join(TOPICS)}."
                return self._answer("error", {"detail": detail})
            return self._answer("subscribed", {"topics": topics_in(reader.topics)})
        return self._answer("error", {"detail": "The type must be subscribe or ping."})

    def dropped_frame(self, count: int) -> bytes:
        return self._answer("dropped", {"count": count})

    def _answer(self, message_type: str, data: Any) -> bytes:
        note = self._sights.note(message_type, data)
        seq = self._listener.seq if self._listener else 0
        return frame_of(seq, note.type, note.at.isoformat(), note.data).wire

    # The threads

    def _running(self) -> tuple[SocketLoop, Listener]:
        with self._lock:
            if self._sockets is None or self._listener is None:
                self._sockets = SocketLoop(self, self._clock.monotonic)
                self._listener = Listener(
                    Stream(self._url),
                    self._sights,
                    self._sockets,
                    self._is_watched,
                    self._clock.monotonic,
                )
                self._listener.begin(self._quick)
                teller = Teller(Stream(self._url), self._sights, self._clock, self._is_watched)
                self._start("listener", self._listener.run)
                self._start("teller", teller.run)
                self._start("visitors", partial(self._check_visitors, self._sockets))
            return self._sockets, self._listener

    def _start(self, name: str, run: Callable[[threading.Event], None]) -> None:
        threading.Thread(
            target=run, args=[self._stopping], name=f"live-{name}", daemon=True
        ).start()

    def _is_watched(self) -> bool:
        return self.places.taken > 0

    def _check_visitors(self, sockets: SocketLoop, stopping: threading.Event) -> None:
        """Send away whose credentials ceased to count, soon after they did."""
        while not stopping.wait(CHECK_EVERY_SECONDS):
            readers = [one for one in sockets.readers() if one.owner is not None]
            if not readers:
                continue
            try:
                with self._database.session() as session:
                    out: set[Principal] = ceased(session, {one.owner for one in readers})
            except SQLAlchemyError as error:
                log.warning("visitors not checked", action="visitors_unchecked", error=str(error))
                continue
            sockets.close(
                [one for one in readers if one.owner in out],
                POLICY_VIOLATION,
                "this token counts no more",
            )

    def restart(self) -> None:
        """Tell all sockets that the server restarts. Waits for nothing: a signal's handler may."""
        self._stopping.set()
        if self._sockets is not None:
            self._sockets.restart(RESTART, RESTART_REASON)

    def close(self) -> None:
        """Wait until they have been told."""
        self.restart()
        if self._sockets is not None:
            self._sockets.join(STOP_WITHIN_SECONDS)
