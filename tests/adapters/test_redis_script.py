"""A script in Redis, asked by the shortest way: each gets the answer to his own question."""

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from app.adapters import quick_redis
from app.adapters.embedded import Servers
from app.adapters.redis_script import RedisScript
from tests.adapters.away import frozen_url, gone_url, stopped
from tests.harness.waiting import eventually
from tests.services.world import at_once

ECHO = "return KEYS[1] .. ' ' .. ARGV[1]"


# A database of Redis's own, so that its connections are known.
NUMBER = 7


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the tests may be slower than a request would wait."""
    monkeypatch.setattr(quick_redis, "ANSWER_TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr(quick_redis, "CONNECT_TIMEOUT_SECONDS", 2.0)


@pytest.fixture
def echo(servers: Servers) -> Iterator[RedisScript]:
    script = RedisScript(f"{servers.redis_url.removesuffix('/0')}/{NUMBER}", ECHO, keys=1)
    yield script
    script.close()


def test_it_answers_from_values_of_any_bytes(echo: RedisScript) -> None:
    assert echo(b"key", b"value") == b"key value"
    assert echo(b"", b"\r\n$3\r\n\x00\xff") == b" \r\n$3\r\n\x00\xff"


def test_everybody_gets_his_own_answer(echo: RedisScript) -> None:
    def ask_often(who: bytes) -> None:
        for number in range(50):
            value = b"%d" % number
            assert echo(who, value) == who + b" " + value

    at_once(*[lambda who=b"%d" % one: ask_often(who) for one in range(16)])


def test_a_server_that_forgot_the_script_is_told_it(servers: Servers, echo: RedisScript) -> None:
    assert echo(b"a", b"1") == b"a 1"
    with Redis.from_url(servers.redis_url) as redis:
        redis.script_flush()
    assert echo(b"b", b"2") == b"b 2"


def test_a_connection_that_the_server_ended_is_made_anew(
    servers: Servers, echo: RedisScript
) -> None:
    assert echo(b"a", b"1") == b"a 1"
    with Redis.from_url(servers.redis_url) as redis:
        mine = [one["id"] for one in redis.client_list() if one["db"] == str(NUMBER)]
        assert mine
        for one in mine:
            redis.client_kill_filter(_id=one)
    assert echo(b"b", b"2") == b"b 2"


def test_an_error_of_the_script_is_an_error_and_no_answer_is_late(servers: Servers) -> None:
    script = RedisScript(servers.redis_url, "return redis.call('incr', KEYS[1]) .. ''", keys=1)
    with Redis.from_url(servers.redis_url) as redis:
        redis.set("a-word", "word")
        redis.delete("a-number")
        with pytest.raises(ResponseError):
            script(b"a-word")
        assert script(b"a-number") == b"1"
        redis.delete("a-word", "a-number")
    script.close()


def test_a_frozen_server_is_an_error_and_its_late_answer_is_nobodys(
    servers: Servers, echo: RedisScript
) -> None:
    assert echo(b"a", b"1") == b"a 1"
    with stopped(servers.redis_url), pytest.raises(RedisError):
        echo(b"late", b"answer")

    def answered() -> bytes | None:
        try:
            return echo(b"b", b"2")
        except RedisError:
            return None

    assert eventually(answered, what="an answer again") == b"b 2"


def test_where_there_is_none_that_is_said() -> None:
    with pytest.raises(RedisError):
        RedisScript(gone_url(), ECHO, keys=1)(b"a", b"1")
    with frozen_url() as url, pytest.raises(RedisError):
        RedisScript(url, ECHO, keys=1)(b"a", b"1")
