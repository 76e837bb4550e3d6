"""The broker and the cache: that they answer, and what they do when they are full."""

from typing import Any, cast

from app.cli.doctor.finding import Finding, Findings, fail, ok, skip, warn
from app.settings import Settings

ANSWER_WITHIN_SECONDS = 3.0


def redises(settings: Settings) -> Findings:
    """Eviction is per instance: one that may forget must never hold the queue."""
    broker = _ask(settings.redis_url)
    if isinstance(broker, str):
        yield warn(
            "broker",
            f"Redis at REDIS_URL does not answer: {broker}",
            "Alerts go out without it, a little later; scheduled jobs don't run. Bring it back, or"
            " mend REDIS_URL.",
        )
    else:
        yield _policy("broker", "REDIS_URL", broker["policy"], "noeviction", "noeviction")

    if not settings.cache_redis_url:
        yield ok("cache", "no second level is set, which is allowed (CACHE_REDIS_URL)")
        return
    cache = _ask(settings.cache_redis_url)
    if isinstance(cache, str):
        yield warn(
            "cache",
            f"Redis at CACHE_REDIS_URL does not answer: {cache}",
            "Answers come from the database meanwhile. Bring it back, or set CACHE_REDIS_URL to"
            " nothing.",
        )
    elif not isinstance(broker, str) and cache["run_id"] == broker["run_id"]:
        yield fail(
            "cache",
            "The cache is the same Redis as the broker.",
            "Whatever its policy, one of the two is wrong: give the cache an instance of its own.",
        )
    else:
        yield _policy("cache", "CACHE_REDIS_URL", cache["policy"], "allkeys-", "allkeys-lru")


def unknown(reason: str) -> Findings:
    yield skip("broker", reason)
    yield skip("cache", reason)


def _policy(name: str, setting: str, policy: str, wanted: str, example: str) -> Finding:
    if policy.startswith(wanted):
        return ok(name, f"it answers, maxmemory-policy {policy}")
    why = "it may throw away the queue" if name == "broker" else "it stops when it is full"
    return fail(
        name,
        f"maxmemory-policy of {setting} is {policy}, so {why}.",
        f"redis-cli CONFIG SET maxmemory-policy {example}; and the same in its redis.conf.",
    )


def _ask(url: str) -> dict[str, str] | str:
    """Policy and run id, or why it does not answer."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        with redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=ANSWER_WITHIN_SECONDS,
            socket_connect_timeout=ANSWER_WITHIN_SECONDS,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            policy = cast("dict[str, Any]", client.config_get("maxmemory-policy"))
            server = cast("dict[str, Any]", client.info("server"))
    except redis.RedisError as error:
        return str(error)
    return {"policy": str(policy["maxmemory-policy"]), "run_id": str(server["run_id"])}
