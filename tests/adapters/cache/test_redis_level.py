"""What is written to Redis, and that it is read as it was meant."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.adapters.cache.entry import Entry, etag_of
from app.adapters.cache.packing import pack, unpack
from app.adapters.cache.redis_level import RedisLevel
from app.domain.snapshot import Snapshot, Stamp

ids = st.integers(1, 2**40)
snapshots = st.builds(Snapshot, ids, ids, st.frozensets(ids, max_size=20))
entries = st.builds(
    lambda body, at, good, snapshot, negative: Entry(
        body, etag_of(body), at, good, snapshot, negative
    ),
    st.binary(max_size=200),
    st.floats(0, 2e9),
    st.floats(0, 300),
    snapshots,
    st.booleans(),
)
ENTRY = Entry(b"body", etag_of(b"body"), 1e9, 60.0, Snapshot(10, 10))
Make = Callable[[], RedisLevel]
WITH_FIXTURES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(entries, st.text("0123456789abcdef", max_size=20))
def test_an_entry_is_read_as_it_was_written(entry: Entry, generation: str) -> None:
    assert unpack(pack(entry, generation)) == (entry, generation)


@given(st.one_of(st.none(), st.binary(max_size=100)), st.integers(0, 60))
def test_what_can_t_be_read_is_nothing(noise: bytes | None, cut: int) -> None:
    for packed in (noise, pack(ENTRY, "g")[:cut], b"\x01" + (noise or b"")):
        unpacked = unpack(packed)
        assert unpacked is None or isinstance(unpacked[0], Entry)
    assert unpack(b"\x02" + pack(ENTRY, "g")[1:]) is None


@WITH_FIXTURES
@given(news=st.lists(st.frozensets(st.integers(1, 120), min_size=1, max_size=40), max_size=6))
def test_redis_merges_stamps_as_python_does(
    second_level: Make, cache_url: str, news: list[frozenset[int]]
) -> None:
    level, expected = second_level(), Stamp()
    level.forget_all()
    level.generation()
    with Redis.from_url(cache_url) as redis:
        (name,) = redis.keys("*:stamps")
        redis.hdel(name, "a.b")
        for writers in news:
            expected = expected.merged(Stamp.of(*writers))
            assert level.hear({"a.b": Stamp.of(*writers)})
        said: Any = redis.hget(name, "a.b")
        assert 0 < redis.ttl(name) <= 86_400
    assert (Stamp.parse(said.decode()) if said else Stamp()) == expected


def test_ids_beyond_32_bits_are_kept_exactly(second_level: Make, cache_url: str) -> None:
    level = second_level()
    level.generation()
    xid = 2**45 + 1
    assert level.hear({"a.b": Stamp.of(xid)})
    assert level.hear({"a.b": Stamp.of(xid + 2)})
    with Redis.from_url(cache_url) as redis:
        said: Any = redis.hget(redis.keys("*:stamps")[0], "a.b")
    assert Stamp.parse(said.decode()) == Stamp.of(xid, xid + 2)


def test_every_key_has_an_end(second_level: Make, cache_url: str) -> None:
    level = second_level()
    generation = level.generation()
    assert generation is not None
    level.set("k", ENTRY, generation)
    level.set_many([(f"k{number}", ENTRY) for number in range(5)], generation)
    negative = Entry(b"", etag_of(b""), 1e9, 3.0, Snapshot(10, 10), True)
    level.set("nothing", negative, generation)
    with Redis.from_url(cache_url) as redis:
        lives = {key: redis.pttl(key) for key in redis.keys("*")}
    assert len(lives) == 8
    assert all(0 < life <= 300_000 for key, life in lives.items() if not key.endswith(b":stamps"))
    assert next(life for key, life in lives.items() if key.endswith(b":nothing")) <= 3000


def test_releases_do_not_read_each_other_but_hear_the_same_stamps(
    second_level: Make, cache_url: str
) -> None:
    old, new = (RedisLevel(cache_url, release=one, database="d") for one in ("1", "2"))
    generation = old.generation()
    assert generation == new.generation()
    assert generation is not None
    old.set("k", ENTRY, generation)
    found = new.get("k", ("a.b",))
    assert found is not None
    assert found.entry is None
    new.set("k", ENTRY, generation)
    assert old.hear({"a.b": Stamp.of(10)})
    found = new.get("k", ("a.b",))
    assert found is not None
    assert (found.entry, found.is_right) == (ENTRY, False)
    for level in (old, new):
        level.close()


def test_a_pattern_is_looked_for_step_by_step(second_level: Make, cache_url: str) -> None:
    level = second_level()
    generation = level.generation()
    assert generation is not None
    level.set_many([(f"many:{number}", ENTRY) for number in range(2500)], generation)
    with Redis.from_url(cache_url) as redis:
        redis.set("somebody else's", "1")
        redis.config_resetstat()
        assert level.drop_all(lambda key: key.endswith("7")) == 250
        assert level.drop_all(lambda _key: True) == 2250
        commands = redis.info("commandstats")
        assert "cmdstat_keys" not in commands
        assert "cmdstat_scan" in commands
        assert redis.get("somebody else's") == b"1"


@pytest.mark.parametrize("url", ["redis://localhost:1/0", "rediss://localhost:1/0"])
def test_nobody_connects_before_he_must(url: str) -> None:
    RedisLevel(url, release="1", database="d").close()
