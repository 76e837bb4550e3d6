"""What is sent to a receiver, and what comes of it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Failure(StrEnum):
    """Why there is no whole answer."""

    REFUSED = "refused"  # by the egress guard
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    PROTOCOL = "protocol"  # anything else that libcurl says


# Named tuples, where a message goes through: a frozen dataclass takes three times as long to make.
class Request(NamedTuple):
    """What to send. `headers` go out as given; users' own passed `check_headers` before.

    A `body` of None sends none, `b""` an empty one with its length. `timeout_seconds` is
    for all of it, name lookup to last byte. `fresh_connection` dials anew and closes after
    (for probes, which test the dialling too, and are told its phases). `want_certificate`
    asks for its expiry, `want_headers` (names in lower case) for these headers of the answer.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    timeout_seconds: float
    fresh_connection: bool = False
    want_certificate: bool = False
    want_headers: tuple[str, ...] = ()


class Timings(NamedTuple):
    """The phases of a transfer in milliseconds; all but the total are 0 where skipped."""

    dns_ms: float
    connect_ms: float
    tls_ms: float
    first_byte_ms: float
    total_ms: float


class Response(NamedTuple):
    """What came of a request.

    `status` is that of the status line, None when none arrived. With a `failure` the answer
    is not whole, even where the status is known, so look at that first. An answer of which
    no more was read because it is over 16 KiB counts as whole. `retry_after` is the raw
    header, `error` a short sentence for people. `timings` are those of a fresh connection.
    `certificate_expires_at` needs TLS, a new connection and `want_certificate`. `headers` are those
    that were wanted and are there; one that came several times has all its values, as RFC 9110
    (5.3) joins them. A probe that wants no headers has no `retry_after` either.
    """

    status: int | None
    latency_ms: float
    failure: Failure | None
    error: str | None
    retry_after: str | None
    body: bytes
    timings: Timings | None = None
    certificate_expires_at: datetime | None = None
    headers: Mapping[str, str] = MappingProxyType({})
