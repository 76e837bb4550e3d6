"""Callers over HTTP: connections that are kept, each of which waits for its answer.

libcurl's multi interface in one thread: it costs some 30 µs a call, so that it takes little of the
processors that the servers need.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import pycurl


@dataclass
class Calls:
    """What came of some calls; latencies are in seconds. `void` says why they do not count."""

    answered: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    void: str | None = None


def call(
    address: Callable[[int], str], headers: Sequence[str], callers: int, seconds: float
) -> Calls:
    """GET `address(0)`, `address(1)` … by so many callers for so long. All must answer 200."""
    found, multi, number = Calls(), pycurl.CurlMulti(), 0
    bodies: dict[pycurl.Curl, BytesIO] = {}

    def begin(handle: pycurl.Curl) -> None:
        nonlocal number
        bodies[handle].seek(0)
        bodies[handle].truncate()
        handle.setopt(pycurl.URL, address(number))
        number += 1
        multi.add_handle(handle)

    for _ in range(callers):
        handle = pycurl.Curl()
        bodies[handle] = BytesIO()
        handle.setopt(pycurl.HTTPHEADER, list(headers))
        handle.setopt(pycurl.WRITEFUNCTION, bodies[handle].write)
        handle.setopt(pycurl.TIMEOUT, 30)
        begin(handle)
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        multi.perform()
        _left, done, failed = multi.info_read()
        for handle in done:
            status = handle.getinfo(pycurl.RESPONSE_CODE)
            if status != 200:
                found.void = f"an answer was {status}: {bodies[handle].getvalue()[:200]!r}"
            found.answered += 1
            found.latencies.append(handle.getinfo(pycurl.TOTAL_TIME))
            multi.remove_handle(handle)
            begin(handle)
        for handle, _code, message in failed:
            found.void = f"a call failed: {message}"
            multi.remove_handle(handle)
            begin(handle)
        if not done:
            multi.select(0.05)
    found.seconds = time.monotonic() - began
    for handle in bodies:
        multi.remove_handle(handle)
        handle.close()
    multi.close()
    if not found.answered:
        found.void = "nothing was answered"
    return found
