"""cachetools.TTLCache with a lock, as its documentation says that threads need it.

    python -m benchmarks.peers.ttl_cache PASSES THREADS

Runs in an environment of its own. Prints JSON: nanoseconds for `get`, and for `[]`, which in
cachetools is the cheaper one.
"""

import json
import sys
import threading

import cachetools

from benchmarks.contended import KEYS, VALUE, nanoseconds

cache: "cachetools.TTLCache[str, bytes]" = cachetools.TTLCache(maxsize=10_000, ttl=60)
lock = threading.Lock()


def get(passes: int) -> None:
    for _ in range(passes):
        for key in KEYS:
            with lock:
                cache.get(key)


def item(passes: int) -> None:
    for _ in range(passes):
        for key in KEYS:
            with lock:
                cache[key]


if __name__ == "__main__":
    passes, threads = map(int, sys.argv[1:])
    for key in KEYS:
        cache[key] = VALUE
    print(
        json.dumps(
            {
                "get": nanoseconds(get, passes, threads),
                "item": nanoseconds(item, passes, threads),
                "version": cachetools.__version__,
            }
        )
    )
