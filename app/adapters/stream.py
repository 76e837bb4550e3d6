"""The stream in the broker's Redis: what has changed goes in, numbered messages come out.

    tocsin:changes   ids of what changed, from any process      (a stream, bounded)
    tocsin:live      messages, their number is their id         (a stream, bounded)
    tocsin:live:seq, tocsin:live:cursor, tocsin:live:lease

One process at a time has the lease: it turns changes into messages, so that these come in one
order and are made once. All of it may be lost; whoever finds that out begins with a snapshot.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.domain.live import Frame, Note, frame_of

CHANGES = "tocsin:changes"
MESSAGES = "tocsin:live"
SEQ = f"{MESSAGES}:seq"
CURSOR = f"{MESSAGES}:cursor"
LEASE = f"{MESSAGES}:lease"

KEPT_CHANGES = 5000
KEPT_MESSAGES = 2000
LEASE_MS = 3000
READ_AT_ONCE = 500
TIMEOUT_SECONDS = 2.0
# What a change says that some changes were lost on the way.
LOST = "lost"
START = "0-0"

StreamError = redis.RedisError

# Refused with -1 when the lease is somebody else's. A sequence that is not there begins with the
# time in ms, so that it is ahead of any that was lost.
_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local seq = tonumber(redis.call('GET', KEYS[2]) or ARGV[2])
for i = 5, #ARGV, 3 do
  seq = seq + 1
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], string.format('%d-0', seq),
    't', ARGV[i], 'at', ARGV[i + 1], 'd', ARGV[i + 2])
end
redis.call('SET', KEYS[2], string.format('%d', seq))
redis.call('SET', KEYS[4], ARGV[4])
return seq
"""
_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_LET_GO = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class LeaseLost(Exception):
    """Another process makes the messages now."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids by kind, and the place in the stream to go on from. `is_whole` is false where some are
    missing before them."""

    ids: Mapping[str, list[int]]
    cursor: str
    is_whole: bool


class Stream:
    """Thread-safe. Raises StreamError while Redis is away, after the time-out at most."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._token = uuid.uuid4().hex
        self._publish = self._redis.register_script(_PUBLISH)
        self._hold = self._redis.register_script(_HOLD)
        self._let_go = self._redis.register_script(_LET_GO)

    # Changes

    def note(self, ids: Mapping[str, Sequence[int]]) -> None:
        """These have changed, whatever they are now."""
        self._redis.xadd(CHANGES, {"ids": orjson.dumps(ids)}, maxlen=KEPT_CHANGES, approximate=True)

    def newest_change(self) -> str:
        """The place after all changes so far."""
        newest = cast("Any", self._redis.xrevrange(CHANGES, count=1))
        return newest[0][0].decode() if newest else START

    def cursor(self) -> str | None:
        """How far changes have become messages; None: nobody knows."""
        found = cast("bytes | None", self._redis.get(CURSOR))
        return None if found is None else found.decode()

    def changes(self, cursor: str, wait_seconds: float) -> Changes:
        """What has changed since a place, or after a while nothing."""
        known = True
        if cursor != START:
            # What it was read from must still be there; otherwise others may be gone, too.
            known = bool(self._redis.xrange(CHANGES, cursor, cursor, count=1))
        answer = cast(
            "Any",
            self._redis.xread(
                {CHANGES: cursor}, count=READ_AT_ONCE, block=max(1, int(wait_seconds * 1000))
            ),
        )
        merged: dict[str, dict[int, None]] = {}
        for _stream, entries in answer or ():
            for place, fields in entries:
                cursor = place.decode()
                for kind, ids in orjson.loads(fields[b"ids"]).items():
                    merged.setdefault(kind, {}).update(dict.fromkeys(ids))
        lost = merged.pop(LOST, None) is not None
        return Changes(
            {kind: list(ids) for kind, ids in merged.items()}, cursor, known and not lost
        )

    # Messages

    def hold_lease(self) -> bool:
        """Get the lease, or keep it; whether it is ours now."""
        return bool(self._hold(keys=[LEASE], args=[self._token, LEASE_MS]))

    def let_go(self) -> None:
        self._let_go(keys=[LEASE], args=[self._token])

    def publish(self, notes: Sequence[Note], cursor: str, now_ms: int) -> int:
        """Number and keep messages that tell of all changes up to `cursor`; the last number.

        Raises LeaseLost when the lease is not ours.
        """
        arguments: list[Any] = [self._token, now_ms, KEPT_MESSAGES, cursor]
        for note in notes:
            arguments += [note.type, note.at.isoformat(), note.data]
        seq = int(self._publish(keys=[LEASE, SEQ, MESSAGES, CURSOR], args=arguments))
        if seq < 0:
            raise LeaseLost
        return seq

    def last_seq(self) -> int:
        """The number of the newest message; 0 when there is none."""
        newest = cast("Any", self._redis.xrevrange(MESSAGES, count=1))
        return _seq_of(newest[0][0]) if newest else 0

    def read(self, after: int, wait_seconds: float) -> list[Frame]:
        """The messages after a number, or after a while none."""
        answer = cast(
            "Any",
            self._redis.xread(
                {MESSAGES: f"{after}-0"}, count=READ_AT_ONCE, block=int(wait_seconds * 1000)
            ),
        )
        return [] if not answer else _frames(answer[0][1])

    def replay(self, since: int, most: int) -> list[Frame] | None:
        """All messages after the one with this number; None when it is not known any more, or when
        they are more than `most`."""
        entries = cast("Any", self._redis.xrange(MESSAGES, f"{since}-0", "+", count=most + 2))
        if not entries or _seq_of(entries[0][0]) != since or len(entries) > most + 1:
            return None
        return _frames(entries[1:])

    def close(self) -> None:
        self._redis.close()


def _seq_of(place: bytes) -> int:
    return int(place.partition(b"-")[0])


def _frames(entries: Iterable[Any]) -> list[Frame]:
    return [
        frame_of(_seq_of(place), fields[b"t"].decode(), fields[b"at"].decode(), fields[b"d"])
        for place, fields in entries
    ]
