"""The stream in a real Redis: numbers, the lease, what is kept, and what is found to be missing."""

from collections.abc import Iterator
from datetime import UTC, datetime

import orjson
import pytest
import redis

from app.adapters.changes import MAX_WAITING, ChangeFeed
from app.adapters.embedded import Servers, free_port
from app.adapters.stream import (
    CHANGES,
    CURSOR,
    KEPT_CHANGES,
    KEPT_MESSAGES,
    LEASE,
    LOST,
    MESSAGES,
    SEQ,
    START,
    Changes,
    LeaseLost,
    Stream,
    StreamError,
)
from app.domain.live import Kind, Note
from tests.harness.waiting import eventually

# Nobody else's.
NUMBER = 5
NOW = datetime(2026, 11, 28, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
# Streams are trimmed by whole nodes of up to so many entries.
NODE = 100


@pytest.fixture
def url(servers: Servers) -> str:
    url = f"{servers.redis_url.removesuffix('/0')}/{NUMBER}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def stream(url: str) -> Iterator[Stream]:
    made = Stream(url)
    yield made
    made.close()


def notes(*texts: str) -> list[Note]:
    return [Note("alert", NOW, orjson.dumps({"title": text})) for text in texts]


def publish(stream: Stream, *texts: str, cursor: str = START) -> int:
    assert stream.hold_lease()
    return stream.publish(notes(*texts), cursor, NOW_MS)


def read_changes(stream: Stream, cursor: str) -> Changes:
    return stream.changes(cursor, 0.01)


class TestMessages:
    def test_they_are_numbered_one_after_the_other(self, stream: Stream) -> None:
        assert stream.last_seq() == 0
        assert publish(stream, "a", "b") == NOW_MS + 2
        assert publish(stream, "c") == NOW_MS + 3
        assert stream.last_seq() == NOW_MS + 3
        frames = stream.read(NOW_MS + 1, 0.01)
        assert [frame.seq for frame in frames] == [NOW_MS + 2, NOW_MS + 3]
        assert orjson.loads(frames[1].wire[2:]) == {
            "type": "alert",
            "seq": NOW_MS + 3,
            "timestamp": NOW.isoformat(),
            "data": {"title": "c"},
        }

    def test_nothing_new_is_nothing(self, stream: Stream) -> None:
        last = publish(stream, "a")
        assert stream.read(last, 0.01) == []

    def test_a_replay_is_all_that_came_after(self, stream: Stream) -> None:
        last = publish(stream, "a", "b", "c")
        replayed = stream.replay(last - 2, 10)
        assert replayed is not None
        assert [frame.seq for frame in replayed] == [last - 1, last]
        assert stream.replay(last, 10) == []

    @pytest.mark.parametrize("since", [0, 1, NOW_MS, NOW_MS + 4, NOW_MS + 10**9])
    def test_there_is_none_of_a_number_that_is_not_there(self, stream: Stream, since: int) -> None:
        publish(stream, "a", "b", "c")
        assert stream.replay(since, 10) is None

    def test_there_is_none_of_too_many(self, stream: Stream) -> None:
        last = publish(stream, "a", "b", "c", "d")
        assert stream.replay(last - 3, 2) is None
        assert len(stream.replay(last - 2, 2) or ()) == 2

    def test_after_a_loss_the_numbers_are_above_all_before(self, stream: Stream, url: str) -> None:
        before = publish(stream, "a")
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        assert stream.hold_lease()
        # Later by the clock, as it must be.
        assert stream.publish(notes("b"), START, NOW_MS + 60_000) > before
        assert stream.replay(before, 10) is None

    def test_they_are_bounded(self, stream: Stream, url: str) -> None:
        for _batch in range(5):
            publish(stream, *["x"] * (KEPT_MESSAGES // 4))
        with redis.Redis.from_url(url) as client:
            assert KEPT_MESSAGES <= client.xlen(MESSAGES) <= KEPT_MESSAGES + NODE


class TestTheLease:
    def test_one_has_it_until_he_lets_go(self, stream: Stream, url: str) -> None:
        other = Stream(url)
        assert stream.hold_lease()
        assert stream.hold_lease()
        assert not other.hold_lease()
        other.let_go()
        assert not other.hold_lease(), "who has it not, gives nothing back"
        stream.let_go()
        assert other.hold_lease()
        other.close()

    def test_who_lost_it_can_publish_nothing(self, stream: Stream, url: str) -> None:
        assert stream.hold_lease()
        with redis.Redis.from_url(url) as client:
            assert 0 < client.pttl(LEASE) <= 3000
            client.delete(LEASE)
        with pytest.raises(LeaseLost):
            stream.publish(notes("a"), "7-0", NOW_MS)
        with redis.Redis.from_url(url) as client:
            assert client.exists(MESSAGES, SEQ, CURSOR) == 0

    def test_what_is_told_and_how_far_are_kept_together(self, stream: Stream) -> None:
        assert stream.cursor() is None
        publish(stream, "a", cursor="17-0")
        assert stream.cursor() == "17-0"


class TestChanges:
    def test_they_are_told_once_each_in_their_order(self, stream: Stream) -> None:
        stream.note({"alert": [3, 1]})
        stream.note({"alert": [1, 2], "job": [9]})
        found = read_changes(stream, START)
        assert found.ids == {"alert": [3, 1, 2], "job": [9]}
        assert found.is_whole
        assert found.cursor == stream.newest_change()
        assert read_changes(stream, found.cursor).ids == {}
        assert read_changes(stream, found.cursor).is_whole

    def test_that_some_were_lost_is_found_out(self, stream: Stream, url: str) -> None:
        stream.note({"alert": [1]})
        seen = read_changes(stream, START).cursor
        for number in range(KEPT_CHANGES + 2 * NODE):
            stream.note({"alert": [number]})
        assert not read_changes(stream, seen).is_whole
        with redis.Redis.from_url(url) as client:
            assert client.xlen(CHANGES) <= KEPT_CHANGES + NODE

    def test_a_publisher_that_lost_some_says_so(self, stream: Stream) -> None:
        stream.note({"alert": [1], LOST: [0]})
        found = read_changes(stream, START)
        assert (found.ids, found.is_whole) == ({"alert": [1]}, False)


class TestTheFeed:
    def test_what_is_noted_arrives_together(self, stream: Stream, url: str) -> None:
        feed = ChangeFeed(url)
        feed.note(Kind.ALERT, [1, 2])
        feed.note(Kind.ALERT, [2, 3])
        feed.note(Kind.JOB, [])
        eventually(lambda: 3 in read_changes(stream, START).ids.get("alert", []), what="the ids")
        found = read_changes(stream, START)
        assert (found.ids, found.is_whole) == ({"alert": [1, 2, 3]}, True)
        feed.close()

    def test_of_more_than_can_wait_the_newest_stay_and_it_says_so(
        self, stream: Stream, url: str
    ) -> None:
        feed = ChangeFeed(url)
        feed.note(Kind.ALERT, range(MAX_WAITING + 10))
        eventually(lambda: read_changes(stream, START).ids, what="the ids")
        found = read_changes(stream, START)
        assert found.ids == {"alert": list(range(10, MAX_WAITING + 10))}
        assert not found.is_whole
        feed.close()

    def test_of_deliveries_a_sample_is_shown_anyway(self, stream: Stream, url: str) -> None:
        feed = ChangeFeed(url)
        feed.note(Kind.DELIVERY, range(MAX_WAITING + 10))
        eventually(lambda: read_changes(stream, START).ids, what="the ids")
        assert read_changes(stream, START).is_whole
        feed.close()

    def test_with_redis_away_nobody_waits_and_it_is_told_later(self) -> None:
        """Nothing listens there. That it is told later is in tests/acceptance."""
        url = f"redis://127.0.0.1:{free_port()}/0"
        feed = ChangeFeed(url)
        for number in range(100):
            feed.note(Kind.ALERT, [number])
        with pytest.raises(StreamError):
            Stream(url).last_seq()
        feed.close()
