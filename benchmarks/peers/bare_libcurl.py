"""The ceiling: libcurl and nothing else. No database, no signature, no retry, no record.

`python -m benchmarks.peers.bare_libcurl WARM_UP_URL URL COUNT` warms its connections up with a
message on each, waits for SIGUSR1, sends COUNT messages, and waits to be ended.
"""

import signal
import sys
from collections.abc import Iterator

import pycurl

from benchmarks.alerts import sample_body

CONNECTIONS = 64
HEADERS = ("content-type: application/json", "Expect:")


def message_id(number: int) -> str:
    return f"msg_{number:032}"


class Sender:
    """One multi handle; an easy handle for each connection, used again and again."""

    def __init__(self, body: bytes) -> None:
        self._multi = pycurl.CurlMulti()
        self._handles = [pycurl.Curl() for _ in range(CONNECTIONS)]
        for handle in self._handles:
            handle.setopt(pycurl.POSTFIELDS, body)
            handle.setopt(pycurl.PROXY, "")

    def send(self, url: str, count: int) -> None:
        """Raises RuntimeError with what libcurl says of the first that fails."""
        numbers = iter(range(count))
        for handle in self._handles:
            handle.setopt(pycurl.URL, url)
            self._start(handle, numbers)
        done = 0
        while done < count:
            self._multi.perform()
            _queued, succeeded, failed = self._multi.info_read()
            if failed:
                raise RuntimeError(f"the receiver failed: {failed[0]}")
            for handle in succeeded:
                self._multi.remove_handle(handle)
                self._start(handle, numbers)
            done += len(succeeded)
            if not succeeded:
                self._multi.select(0.01)

    def _start(self, handle: pycurl.Curl, numbers: Iterator[int]) -> None:
        number = next(numbers, None)
        if number is not None:
            handle.setopt(pycurl.HTTPHEADER, [*HEADERS, f"webhook-id: {message_id(number)}"])
            self._multi.add_handle(handle)


def main(warm_up_url: str, url: str, count: str) -> None:
    # Blocked before the warm-up is seen, so that the gun is heard however early it is fired.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    sender = Sender(sample_body(1).encode())
    sender.send(warm_up_url, CONNECTIONS)
    signal.sigwait({signal.SIGUSR1})
    sender.send(url, int(count))
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
