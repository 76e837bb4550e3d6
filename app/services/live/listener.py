"""Reads the stream, once for all sockets of this process; the database, while there is none."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.adapters.stream import Stream, StreamError
from app.domain.live import Frame, differences, frame_of
from app.services.live.sights import Sights

log = structlog.get_logger(__name__)

READ_WAIT_SECONDS = 1.0
LOOK_EVERY_SECONDS = 5.0
TRY_AGAIN_SECONDS = 1.0
STREAM, DATABASE = "stream", "database"


class Hearers(Protocol):
    """All sockets of this process."""

    def broadcast(self, frames: Sequence[Frame]) -> None: ...

    def tell_all(self, frame: Frame) -> None: ...


class Listener:
    """For one thread: `run` until `stopping`. `seq` is the number of the last message heard."""

    def __init__(
        self,
        stream: Stream,
        sights: Sights,
        hearers: Hearers,
        is_watched: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._sights = sights
        self._hearers = hearers
        self._is_watched = is_watched
        self._monotonic = monotonic
        self._before: dict[str, Any] | None = None
        self._look_at = 0.0
        self.seq = 0
        self.source = STREAM

    def begin(self, stream: Stream) -> None:
        """Where to listen from: before anybody is told how things are, so that nothing is missed
        in between. A request waits for it, so this asks a stream that is quick, or away."""
        try:
            self.seq = stream.last_seq()
        except StreamError:
            self.source = DATABASE

    def run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                if self.source == DATABASE:
                    self._come_back()
                frames = self._stream.read(self.seq, READ_WAIT_SECONDS)
                if frames:
                    self.seq = frames[-1].seq
                    self._hearers.broadcast(frames)
            except StreamError as error:
                self._go_on_without(error)
                stopping.wait(TRY_AGAIN_SECONDS)
            except Exception:
                log.exception("listening failed", action="listener_failed")
                stopping.wait(TRY_AGAIN_SECONDS)

    def status(self) -> Frame:
        """What says where the messages come from."""
        data: dict[str, Any] = {"source": self.source}
        if self.source == DATABASE:
            data["beat_seconds"] = LOOK_EVERY_SECONDS
        return self._frame("status", data)

    def _come_back(self) -> None:
        """What was told meanwhile is nowhere in the stream, and what is there was not told here."""
        # An empty one goes on above all that were ever given.
        self.seq = self._stream.last_seq() or self.seq
        self.source = STREAM
        self._before = None
        self._hearers.tell_all(self.status())
        try:
            snapshot = self._sights.snapshot(STREAM)
        except SQLAlchemyError as error:
            self.source = DATABASE
            raise StreamError("no snapshot to begin with") from error
        self._hearers.tell_all(self._frame("snapshot", snapshot))
        log.info("the stream is back", action="stream_back", seq=self.seq)

    def _go_on_without(self, error: Exception) -> None:
        if self.source == STREAM:
            log.warning("no stream; the database instead", action="stream_away", error=str(error))
            self.source = DATABASE
            self._hearers.tell_all(self.status())
        if not self._is_watched() or self._monotonic() < self._look_at:
            return
        self._look_at = self._monotonic() + LOOK_EVERY_SECONDS
        try:
            after = self._sights.snapshot(DATABASE)
        except SQLAlchemyError as away:
            log.warning("nor the database", action="nothing_to_show", error=str(away))
            return
        before, self._before = self._before, after
        if before is None:
            self._hearers.tell_all(self._frame("snapshot", after))
            return
        for kind, data in differences(before, after):
            self._hearers.tell_all(self._frame(kind, data))
        self._hearers.tell_all(self._frame("metrics", after["metrics"]))

    def _frame(self, message_type: str, data: Any) -> Frame:
        note = self._sights.note(message_type, data)
        return frame_of(self.seq, note.type, note.at.isoformat(), note.data)
