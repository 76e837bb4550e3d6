"""The one way out: HTTP to receivers, through libcurl, with the egress guard inside.

`fetch` makes one transfer and waits for it; `Transfers` keeps many in flight on one thread.
Both follow no redirect, ask no proxy, decode nothing, and read at most 16 KiB of an answer
within one total deadline.
"""

import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Self

import pycurl

from app.adapters.guard import Guard
from app.adapters.http_messages import Failure, Request, Response, Timings
from app.adapters.names import Resolver
from app.domain.egress import EgressRefused, Target, parse_url

MAX_BODY_BYTES = 16 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_CONNECT_MS = 10_000
MAX_ERROR_CHARS = 200
NAME_CHECK_SECONDS = 0.05  # for deadlines that end during a lookup
MAX_NAP_SECONDS = 0.01


# The same receivers are called over and over; it is pure, and a refusal is not kept.
_parse_url = lru_cache(maxsize=32768)(parse_url)


# Set on every handle.
_ALWAYS = (
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.PROXY, ""),  # empty, because unset asks the environment
    (pycurl.NOPROXY, "*"),
    (pycurl.NETRC, pycurl.NETRC_IGNORED),
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
    (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
    (pycurl.USERAGENT, ""),  # the caller says it in the headers; libcurl's tells all its parts
    (pycurl.PATH_AS_IS, 1),  # the path as registered, dot segments too
    (pycurl.NOSIGNAL, 1),  # libcurl's SIGALRM would hit whatever the main thread does
)

# What every exchange asks for, looked up once.
_OK = pycurl.E_OK
_STATUS, _TOTAL = pycurl.RESPONSE_CODE, pycurl.TOTAL_TIME
_LOOKED_UP, _CONNECTED = pycurl.NAMELOOKUP_TIME, pycurl.CONNECT_TIME
_SECURED, _SENT = pycurl.APPCONNECT_TIME, pycurl.PRETRANSFER_TIME
_ANSWERED = pycurl.STARTTRANSFER_TIME
_WATCHED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET

_FAILURES = {
    pycurl.E_COULDNT_RESOLVE_HOST: Failure.DNS,
    pycurl.E_COULDNT_CONNECT: Failure.CONNECT,
    pycurl.E_OPERATION_TIMEDOUT: Failure.TIMEOUT,
    pycurl.E_SSL_CONNECT_ERROR: Failure.TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: Failure.TLS,
    pycurl.E_SSL_CERTPROBLEM: Failure.TLS,
    pycurl.E_SSL_CIPHER: Failure.TLS,
    pycurl.E_SSL_CACERT_BADFILE: Failure.TLS,
    pycurl.E_GOT_NOTHING: Failure.RESET,
    pycurl.E_SEND_ERROR: Failure.RESET,
    pycurl.E_RECV_ERROR: Failure.RESET,
    pycurl.E_PARTIAL_FILE: Failure.RESET,
}


class _Exchange:
    """One easy handle and what it has received; used for one request after another.

    `prepare`, then `dial`, then libcurl's transfer, then `response`; or, when it is not
    dialled at all, `prepare` and `unsent`.
    """

    def __init__(self, guard: Guard, on_dial: Callable[[socket.SocketType], None]) -> None:
        self.easy = pycurl.Curl()
        self._guard = guard
        self._on_dial = on_dial
        self._kind: tuple[object, ...] = ()
        self._url = ""
        self._headers_sent: tuple[tuple[str, str], ...] | None = None
        self._timeout_ms = 0

    def prepare(self, request: Request, target: Target, tag: Hashable) -> None:
        """Makes the handle ready for `request`, with nothing left of the one before."""
        method, _, headers, body, timeout, is_fresh, want_certificate, want_headers = request
        self.tag = tag
        self.target = target
        self._started_at = time.monotonic()
        self._give_up_at = self._started_at + timeout
        self._request = request
        self._lookup_ms = 0.0
        self._body: list[bytes] = []
        self._body_room = MAX_BODY_BYTES
        self._header_room = MAX_HEADER_BYTES
        self._retry_after: str | None = None
        self._headers: dict[str, str] = {}
        self._refusal: EgressRefused | None = None
        self._dialled = False

        # What one kind of requests has in common is set once; below, what each has of its own.
        kind = (
            method,
            body is None,
            is_fresh,
            want_certificate,
            not want_headers,
            target.address is None,
        )
        if kind != self._kind:
            self._become(request)
            self._kind = kind
        setopt = self.easy.setopt
        if target.url != self._url:
            setopt(pycurl.URL, target.url)
            self._url = target.url
        if headers != self._headers_sent:
            setopt(pycurl.HTTPHEADER, _header_lines(request))
            self._headers_sent = headers
        if body is not None and method != "HEAD":
            setopt(pycurl.POSTFIELDS, body)

    def _become(self, request: Request) -> None:
        """Makes it a handle for this kind of requests, with nothing left of any other kind."""
        setopt = self.easy.setopt
        self.easy.reset()
        self._url, self._headers_sent, self._timeout_ms = "", None, 0
        for option, value in _ALWAYS:
            setopt(option, value)
        setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        # Each line would take the interpreter's lock anew, and a probe wants none of them. libcurl
        # gives up after 300 KB of headers by itself.
        if request.want_headers or not request.fresh_connection:
            setopt(pycurl.HEADERFUNCTION, self._on_header)
        setopt(pycurl.WRITEFUNCTION, self._on_body)
        setopt(pycurl.CUSTOMREQUEST, request.method)
        if request.method == "HEAD":
            setopt(pycurl.NOBODY, 1)
        if request.fresh_connection:
            setopt(pycurl.FRESH_CONNECT, 1)
            setopt(pycurl.FORBID_REUSE, 1)
        if request.want_certificate:
            setopt(pycurl.OPT_CERTINFO, 1)
        if self._guard.ca_file is not None:
            setopt(pycurl.CAINFO, self._guard.ca_file)

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self._give_up_at - time.monotonic()

    def dial(self, addresses: tuple[str, ...] = ()) -> None:
        """Sets what the name resolved to, and the rest of the deadline.

        Raises EgressRefused when any of the addresses is not public: who mixes them in one
        answer is up to no good.
        """
        for address in addresses:
            self._guard.check_address(address)
        if addresses:
            self._lookup_ms = (time.monotonic() - self._started_at) * 1000
            # "+": to be forgotten after a minute, as an answer of libcurl's own would be.
            known = f"+{self.target.host}:{self.target.port}:{','.join(addresses)}"
            self.easy.setopt(pycurl.RESOLVE, [known])
        left_ms = max(1, round(self.seconds_left * 1000))  # 0 would mean for ever
        if left_ms != self._timeout_ms:
            self.easy.setopt(pycurl.TIMEOUT_MS, left_ms)
            self.easy.setopt(pycurl.CONNECTTIMEOUT_MS, min(left_ms, MAX_CONNECT_MS))
            self._timeout_ms = left_ms

    def unsent(self, failure: Failure, error: str) -> Response:
        """What came of it when it was not dialled."""
        waited_ms = (time.monotonic() - self._started_at) * 1000
        return Response(None, waited_ms, failure, error, None, b"")

    def response(self, code: int, message: str) -> Response:
        """What came of it, given libcurl's result code and message."""
        getinfo = self.easy.getinfo
        status = getinfo(_STATUS)
        failure = None if code == _OK or self._body_room < 0 else self._failure(code)
        error = None
        if failure is not None:
            if failure is Failure.REFUSED:
                message = str(self._refusal)
            elif self._header_room < 0:
                message = f"The headers of the answer are over {MAX_HEADER_BYTES} bytes."
            error = message[:MAX_ERROR_CHARS]
        total_ms = self._lookup_ms + getinfo(_TOTAL) * 1000
        body = self._body
        return Response(
            # 1xx is no answer yet (RFC 9110, 15.2).
            status if status >= 200 else None,
            total_ms,
            failure,
            error,
            self._retry_after,
            body[0] if len(body) == 1 else b"".join(body),
            self._timings(total_ms) if self._request.fresh_connection else None,
            _expiry(getinfo(pycurl.INFO_CERTINFO)) if self._has_certificate else None,
            self._headers,
        )

    @property
    def _has_certificate(self) -> bool:
        return self._url.startswith("https:") and self._request.want_certificate

    def _failure(self, code: int) -> Failure:
        if self._refusal is not None and not self._dialled:
            return Failure.REFUSED
        return _FAILURES.get(code, Failure.PROTOCOL)

    def _timings(self, total_ms: float) -> Timings:
        """The phases. libcurl counts each from the start, and leaves 0 for a skipped one."""
        getinfo = self.easy.getinfo
        looked_up = getinfo(_LOOKED_UP)
        connected = getinfo(_CONNECTED)
        secured = getinfo(_SECURED)
        sent = getinfo(_SENT)
        answered = getinfo(_ANSWERED)
        return Timings(
            self._lookup_ms,
            (connected - looked_up) * 1000 if connected > looked_up else 0.0,
            (secured - connected) * 1000 if secured > connected else 0.0,
            (answered - sent) * 1000 if answered > sent else 0.0,
            total_ms,
        )

    def _open_socket(self, _purpose: int, address: pycurl.CurlSockAddr) -> object:
        """libcurl asks for a socket to the address that it is about to dial."""
        try:
            self._guard.check_address(str(address.addr[0]))
        except EgressRefused as refusal:
            self._refusal = refusal
            return pycurl.SOCKET_BAD
        dialled = _Lent(address.family, address.socktype, address.protocol)
        self._dialled = True
        self._on_dial(dialled)
        return dialled

    def _on_header(self, line: bytes) -> int | None:
        self._header_room -= len(line)
        if self._header_room < 0:
            return 0  # fewer bytes than given: libcurl gives up with a write error
        if line[:12].lower() == b"retry-after:":
            self._retry_after = line[12:].decode("latin-1").strip()
        if self._request.want_headers:
            self._keep_header(line)
        return None

    def _keep_header(self, line: bytes) -> None:
        name, colon, value = line.decode("latin-1").partition(":")
        name = name.strip().lower()
        if not colon and name.startswith("http/"):
            self._headers = {}  # of a 1xx answer before this one
        elif name in self._request.want_headers:
            before = self._headers.get(name)
            value = value.strip()
            self._headers[name] = value if before is None else f"{before}, {value}"

    def _on_body(self, data: bytes) -> int | None:
        self._body.append(data[: self._body_room])
        self._body_room -= len(data)
        return 0 if self._body_room < 0 else None


class _Lent(socket.SocketType):
    """A socket for libcurl, which duplicates its descriptor; ours is closed after that.

    Of the bare type: each probe makes one, and `socket.socket` takes longer than the system does.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self.close()


class Transfers:
    """Many requests in flight on one thread, over connections that are kept alive (Linux).

    libcurl's `select` is blind to descriptors from 1024 on and asks about every socket each
    time, and its event interface costs a dozen callbacks a transfer. So each socket is
    registered once, when it is dialled, and edge-triggered epoll only says when to look;
    what to do then libcurl finds by itself.
    """

    def __init__(self, guard: Guard, capacity: int) -> None:
        self.capacity = capacity
        self._guard = guard
        self._resolver = Resolver()
        self._free: list[_Exchange] = []
        self._exchanges: dict[pycurl.Curl, _Exchange] = {}
        self._running: dict[Hashable, _Exchange] = {}
        self._unresolved: dict[Hashable, _Exchange] = {}  # those of them that libcurl has not yet
        self._names_have_news = False
        self._ask_again_at = 0.0
        self._finished: list[tuple[Hashable, Response]] = []
        self._activity = select.epoll()
        self._activity.register(self._resolver.fileno(), select.EPOLLIN | select.EPOLLET)
        self._alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._activity.register(self._alarm, select.EPOLLIN)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, capacity)
        self._multi.setopt(pycurl.M_MAXCONNECTS, capacity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def in_flight(self) -> int:
        """Requests started whose response `perform` has not handed out yet."""
        return len(self._running) + len(self._finished)

    def start(self, request: Request, tag: Hashable) -> None:
        """Takes a request up; `perform` hands its response out under `tag`.

        Raises ValueError for a tag that is in flight, or when `capacity` requests are.
        """
        if tag in self._running:
            raise ValueError(f"{tag!r} is in flight already")
        if len(self._running) >= self.capacity:
            raise ValueError(f"{self.capacity} requests are in flight already")
        try:
            target = _parse_url(request.url)
        except EgressRefused as refusal:
            self._finished.append((tag, _refused(refusal)))
            return
        exchange = self._free.pop() if self._free else self._new_exchange()
        exchange.prepare(request, target, tag)
        self._running[tag] = exchange
        if target.address is not None:
            exchange.dial()
            self._multi.add_handle(exchange.easy)
        else:
            self._unresolved[tag] = exchange
            self._resolve(exchange)

    def perform(
        self, wait_seconds: float, *, idle: bool = False
    ) -> list[tuple[Hashable, Response]]:
        """Moves the transfers on until one finishes, `wait_seconds` at most.

        Gives every response that is there by then, each with its tag. Returns at once when
        nothing is in flight, or waits even then, if told to be `idle`. Ends early after `wake`.
        """
        give_up_at = time.monotonic() + wait_seconds
        is_awake = False
        while True:
            now = time.monotonic()
            if self._unresolved and (now >= self._ask_again_at or self._names_have_news):
                self._ask_again_at = now + NAME_CHECK_SECONDS
                self._names_have_news = False
                for exchange in list(self._unresolved.values()):
                    self._resolve(exchange)
            if self._running:
                self._multi.perform()
                self._collect()
            left = give_up_at - time.monotonic()
            if self._finished or left <= 0 or is_awake or not (self._running or idle):
                finished, self._finished = self._finished, []
                return finished
            nap = min(left, self._nap_seconds()) if self._running else left
            for descriptor, _ in self._activity.poll(nap):
                if descriptor == self._alarm:
                    os.eventfd_read(self._alarm)
                    is_awake = True
                elif descriptor == self._resolver.fileno():
                    self._names_have_news = True

    def wake(self) -> None:
        """Ends the wait of `perform`, or of the next one. From any thread."""
        os.eventfd_write(self._alarm, 1)

    def cancel(self, tag: Hashable) -> None:
        """Gives up a request in flight: its connection is closed, no response comes."""
        if tag in self._running:
            self._release(self._running[tag])
        self._finished = [entry for entry in self._finished if entry[0] != tag]

    def close(self) -> None:
        """Gives up all requests and closes all connections."""
        if self._activity.closed:
            return
        for exchange in list(self._running.values()):
            self._release(exchange)
        for easy in self._exchanges:
            easy.close()
        # They know our `_watch`, and a circle would keep the resolver's descriptor open.
        self._exchanges.clear()
        self._free.clear()
        self._multi.close()
        self._activity.close()
        os.close(self._alarm)

    def _new_exchange(self) -> _Exchange:
        exchange = _Exchange(self._guard, self._watch)
        self._exchanges[exchange.easy] = exchange
        return exchange

    def _watch(self, dialled: socket.SocketType) -> None:
        # The entry lives as long as libcurl's duplicate does, although our own descriptor is
        # closed in a moment: epoll watches the open file, not its number (epoll(7)).
        self._activity.register(dialled.fileno(), _WATCHED)

    def _nap_seconds(self) -> float:
        """Until libcurl's next timer, and never long.

        epoll tells of changes only, and libcurl doesn't always read and write (a long body,
        say) until there is nothing left to: so it looks again without being told.
        """
        milliseconds = self._multi.timeout()
        return MAX_NAP_SECONDS if milliseconds < 0 else min(milliseconds / 1000, MAX_NAP_SECONDS)

    def _resolve(self, exchange: _Exchange) -> None:
        """Hands the exchange on to libcurl if its name has an answer, or ends it."""
        answer = self._resolver.lookup(exchange.target.host)
        if answer is None:
            if exchange.seconds_left <= 0:
                self._finish(
                    exchange, exchange.unsent(Failure.TIMEOUT, "The name lookup timed out.")
                )
            return
        if not answer.addresses:
            self._finish(exchange, exchange.unsent(Failure.DNS, f"No address: {answer.error}."))
            return
        try:
            exchange.dial(answer.addresses)
        except EgressRefused as refusal:
            self._finish(exchange, exchange.unsent(Failure.REFUSED, str(refusal)))
            return
        del self._unresolved[exchange.tag]
        self._multi.add_handle(exchange.easy)

    def _collect(self) -> None:
        queued = 1
        while queued:
            queued, succeeded, failed = self._multi.info_read()
            for easy in succeeded:
                exchange = self._exchanges[easy]
                self._finish(exchange, exchange.response(pycurl.E_OK, ""))
            for easy, code, message in failed:
                exchange = self._exchanges[easy]
                self._finish(exchange, exchange.response(code, message))

    def _finish(self, exchange: _Exchange, response: Response) -> None:
        self._finished.append((exchange.tag, response))
        self._release(exchange)

    def _release(self, exchange: _Exchange) -> None:
        del self._running[exchange.tag]
        if self._unresolved.pop(exchange.tag, None) is None:
            self._multi.remove_handle(exchange.easy)
        self._free.append(exchange)


def fetch(guard: Guard, request: Request) -> Response:
    """Sends one request and waits for the answer, `timeout_seconds` at most. Thread-safe."""
    with Transfers(guard, capacity=1) as transfers:
        transfers.start(request, None)
        finished: list[tuple[Hashable, Response]] = []
        while not finished:
            finished = transfers.perform(request.timeout_seconds)
        return finished[0][1]


def _header_lines(request: Request) -> list[str]:
    """The headers as libcurl wants them: "Name;" is an empty one, "Name:" leaves one out."""
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers]
    lines.append("Expect:")  # 100-continue costs a round trip and, with many servers, a second
    return lines


def _expiry(chain: list[tuple[tuple[str, str], ...]]) -> datetime | None:
    """When the first certificate of libcurl's CERTINFO, the receiver's own, expires."""
    for name, value in chain[0] if chain else ():
        if name == "Expire date":
            return datetime.fromtimestamp(ssl.cert_time_to_seconds(value), UTC)
    return None


def _refused(refusal: EgressRefused) -> Response:
    return Response(None, 0.0, Failure.REFUSED, str(refusal), None, b"")
