"""What a call costs when several threads make it. Needs nothing but Python."""

import threading
import time
from collections.abc import Callable, Sequence

KEYS: Sequence[str] = tuple(f"webhooks.list:{number}" for number in range(1000))
VALUE = b"x" * 1024


def nanoseconds(loop: Callable[[int], None], passes: int, threads: int) -> float:
    """Of processor time, for each call: `loop` makes `passes` × 1,000 of them on each thread.

    Processor time is what a call costs under Python's lock, and others on this machine don't add
    to it. Threads that wait for each other are not charged for that: to the good of who has a lock.
    """
    ready = threading.Barrier(threads + 1)

    def run() -> None:
        ready.wait()
        loop(passes)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    began = time.process_time()
    ready.wait()
    for thread in running:
        thread.join()
    return (time.process_time() - began) / (passes * len(KEYS) * threads) * 1e9
