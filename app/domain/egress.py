"""What may be reached, and with which headers: the pure half of the egress guard.

Everything here judges text. `adapters/http.py` asks again for each address that is
dialled, so a name that answers differently a moment later (DNS rebinding) is caught too.
Every refusal is an `EgressRefused` with a stable reason in snake_case.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_CHARS = 2048
MAX_HOST_CHARS = 253  # RFC 1035, 2.3.4, without the root's dot
MAX_HEADERS = 20
MAX_HEADER_BYTES = 4096


class EgressRefused(Exception):
    """Not let out. `reason` is stable, for machines; `str()` is a sentence for people."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


# --- Addresses ---------------------------------------------------------------------------

# A list of our own, after IANA's special-purpose registries (RFC 6890 and its updates),
# because on 3.11 `is_private` and `is_global` let shared, multicast and translated addresses
# through. The first match names the reason, so narrow networks stand before wide ones.
_NOT_PUBLIC = tuple(
    (reason, kind, ip_network(network))
    for reason, kind, networks in (
        ("unspecified_address", "an unspecified address", "0.0.0.0/8 ::/128"),
        ("loopback_address", "a loopback address", "127.0.0.0/8 ::1/128"),
        (
            "private_address",
            "a private address",
            "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        ),
        ("link_local_address", "a link-local address", "169.254.0.0/16 fe80::/10"),
        ("site_local_address", "a site-local address", "fec0::/10"),
        ("shared_address", "a carrier's shared address", "100.64.0.0/10"),
        # Azure's platform channel: a public number that reaches the host from every guest.
        ("platform_address", "a cloud platform's inner address", "168.63.129.16/32"),
        ("benchmarking_address", "a benchmarking address", "198.18.0.0/15 2001:2::/48"),
        (
            "documentation_address",
            "a documentation address",
            "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        ),
        ("multicast_address", "a multicast address", "224.0.0.0/4 ff00::/8"),
        # Each of these carries an IPv4 address to a gateway of somebody's choosing: 6to4
        # (RFC 7526) and its relay, Teredo (RFC 4380), IPv4-compatible (RFC 4291, 2.5.5.1),
        # local NAT64 (RFC 8215, where a prefix of any length may hide the IPv4 part). None
        # is used by a public receiver, so they go whole, whatever they carry.
        (
            "tunnel_address",
            "an address of a tunnel into IPv4",
            "192.88.99.0/24 2002::/16 2001::/32 ::/96 64:ff9b:1::/48",
        ),
        # Only 2000::/3 is handed out as global unicast (RFC 4291, 2.4); 2001::/23 in it is
        # IETF protocol assignments (RFC 2928).
        (
            "reserved_address",
            "a reserved address",
            "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.175.48.0/24 240.0.0.0/4"
            " 2001::/23 2620:4f:8000::/48 ::/3 4000::/2 8000::/1",
        ),
    )
    for network in networks.split()
)

# RFC 6052, 2.1: on an IPv6-only machine DNS64 gives every IPv4 receiver such an address,
# so this one is judged by what it carries.
_NAT64 = IPv6Network("64:ff9b::/96")


def check_address(address: str, allow: Sequence[Network] = ()) -> None:
    """Raises EgressRefused unless `address` is public or in a network of `allow`.

    An IPv4-mapped address (RFC 4291, 2.5.5.2) is IPv4 in another spelling, so it is judged,
    and allowed, as that. An allowed IPv4 network allows no other embedded form.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        raise EgressRefused("bad_address", f"{address!r} is not an IP address.") from None
    _check_parsed(parsed, allow)


def _check_parsed(address: Address, allow: Sequence[Network]) -> None:
    judged = address
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise EgressRefused("zone_id", f"{address} names a network interface of this machine.")
        judged = address.ipv4_mapped or address
    if any(judged in network for network in allow):
        return
    if judged in _NAT64:
        judged = IPv4Address(int(judged) & 0xFFFF_FFFF)
    for reason, kind, network in _NOT_PUBLIC:
        if judged in network:
            raise EgressRefused(reason, f"{address} is {kind}, and not public.")


# --- URLs --------------------------------------------------------------------------------

_DEFAULT_PORTS = {"http": 80, "https": 443}

# A request to one of these is read by something that speaks no HTTP, and may obey a line of
# it. First what browsers refuse (Fetch Standard, "port blocking"); then databases, brokers
# and remote desktops, which matter once EGRESS_ALLOW lets inner networks through.
_BROWSERS_BLOCK = """
    1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111
    113 115 117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540
    548 554 556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061
    6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
_WE_BLOCK = """
    445 873 1433 1521 1883 2181 3306 3389 5432 5672 5900 6379 8883 9042 9092 11211 27017
"""
BLOCKED_PORTS = frozenset(map(int, (_BROWSERS_BLOCK + _WE_BLOCK).split()))

# RFC 3986, appendix B, with the two slashes required.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_AUTHORITY = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
# RFC 1123, 2.1, and the underscore that container and cluster names use.
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"0x(?P<hex>[0-9a-f]*)|0(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*)")
_LOOKS_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ASCII_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the rules.

    `url` is rebuilt from the parts that were judged, so that no other parser can read
    another host in it. `address` is set when the host is a literal address.
    """

    url: str
    host: str
    port: int
    address: Address | None


def parse_url(url: str) -> Target:
    """The parts of a webhook's URL, canonical: host in lower case ASCII or as an address.

    Raises EgressRefused for what no receiver needs. A literal address is recognised in
    every form but not judged here; see `check_address`.
    """
    if len(url) > MAX_URL_CHARS:
        raise EgressRefused("url_too_long", f"A URL has at most {MAX_URL_CHARS} characters.")
    # Not printable: controls, every kind of space, invisible and unassigned characters.
    # Parsers drop, trim or turn these (and the backslash), each in its own way.
    if not url.isprintable() or " " in url or "\\" in url:
        raise EgressRefused(
            "bad_character", "A URL has no spaces, backslashes, control or invisible characters."
        )
    parts = _URL.fullmatch(url)
    if parts is None:
        raise EgressRefused("bad_url", "A URL looks like https://host/path.")
    scheme = parts["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise EgressRefused("bad_scheme", "Only http and https URLs can be called.")
    if parts["fragment"] is not None:
        raise EgressRefused("fragment", "A fragment (#…) is never sent; leave it out.")
    if "@" in parts["authority"]:
        raise EgressRefused(
            "userinfo", "A URL holds no user name or password; send an Authorization header."
        )
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise EgressRefused("bad_host", "The host or port of the URL can't be read.")
    port = _port(authority["port"], _DEFAULT_PORTS[scheme])
    if authority["literal"] is not None:
        address: Address | None = _ipv6(authority["literal"])
        host = f"[{address}]"
    else:
        host, address = _named_host(authority["name"])
        host = host if address is None else str(address)
    shown_port = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    path, query = _quoted(parts["path"] or "/"), _quoted(parts["query"] or "")
    return Target(f"{scheme}://{host}{shown_port}{path}{query}", host, port, address)


def _quoted(text: str) -> str:
    """Printable text as printable ASCII."""
    return text if text.isascii() else quote(text, safe=_ASCII_PRINTABLE)


def _port(digits: str | None, default: int) -> int:
    if not digits:  # RFC 3986, 3.2.3: "host:" means the default port
        return default
    port = int(digits) if len(digits) <= 5 else 0
    if not 1 <= port <= 65535:
        raise EgressRefused("bad_port", "A port is a number from 1 to 65535.")
    if port in BLOCKED_PORTS:
        raise EgressRefused("blocked_port", f"Port {port} belongs to a service that is not HTTP.")
    return port


def _ipv6(literal: str) -> IPv6Address:
    if "%" in literal:  # RFC 6874; it means something on this machine only
        raise EgressRefused("zone_id", "An address with a zone id is a local one.")
    try:
        return IPv6Address(literal)
    except ValueError:
        raise EgressRefused("bad_host", f"{literal!r} is not an IPv6 address.") from None


@lru_cache(maxsize=4096)
def _named_host(name: str) -> tuple[str, IPv4Address | None]:
    """The host as it is looked up, and the address where it is one. Many URLs share few hosts."""
    host = _ascii_host(name)
    return host, _ipv4(host)


def _ascii_host(name: str) -> str:
    """The host as it is looked up: IDNA 2003 (RFC 3490), lower case, no root dot.

    Nameprep folds full-width digits, circled digits and ideographic full stops to ASCII,
    as resolvers and browsers do, so it comes before any judgement.
    """
    if not name:
        raise EgressRefused("no_host", "The URL has no host.")
    bad_host = EgressRefused("bad_host", "The host of the URL is not a valid name or address.")
    # IDNA 2003 and 2008 send these two to different owners (RFC 5894, 7.2).
    if len(name) > MAX_HOST_CHARS + 1 or "ß" in name or "ς" in name:
        raise bad_host
    try:
        host = name.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise bad_host from None
    if len(host) > MAX_HOST_CHARS or not _NAME.fullmatch(host):
        raise bad_host
    return host


def _ipv4(host: str) -> IPv4Address | None:
    """The address that inet_aton(3) reads in `host`, or None when it is a name.

    Decimal, octal and hexadecimal, in one to four parts of which the last fills what is
    left. A host whose last label is a number is an address or nothing (WHATWG URL, "ends
    in a number"): no top-level domain is a number.
    """
    labels = host.split(".")
    if not _LOOKS_NUMERIC.fullmatch(labels[-1]):
        return None
    numbers = [_number(label) for label in labels]
    *leading, last = numbers
    if len(numbers) > 4 or max(leading, default=0) > 255 or last >= 256 ** (4 - len(leading)):
        raise EgressRefused("bad_host", f"{host!r} is not an IPv4 address.")
    value = last
    for position, number in enumerate(leading):
        value += number << (24 - 8 * position)
    return IPv4Address(value)


def _number(label: str) -> int:
    match = _NUMBER.fullmatch(label)
    if match is None:
        raise EgressRefused("bad_host", f"{label!r} is no part of an IPv4 address.")
    if match["hex"] is not None:
        return int(match["hex"] or "0", 16)
    if match["octal"] is not None:
        return int(match["octal"], 8)
    return int(match["decimal"])


# --- Headers -----------------------------------------------------------------------------

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e]*")  # RFC 9110, 5.5, without the obsolete bytes
_RESERVED_HEADERS = frozenset(
    {
        # Framing and routing: a second voice here is request smuggling (RFC 9112, 11.2).
        *("host", "content-length", "transfer-encoding", "expect"),
        # Hop-by-hop (RFC 9110, 7.6.1); proxy-* is told by its prefix.
        *("connection", "keep-alive", "te", "trailer", "upgrade", "http2-settings"),
        # What we say of our own message (Standard Webhooks), and of a body that is ours.
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
        *("content-type", "content-encoding", "user-agent"),
    }
)


def check_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Raises EgressRefused for a header that a user may not add to a delivery."""
    seen: set[str] = set()
    for count, (name, value) in enumerate(headers, start=1):
        if count > MAX_HEADERS:
            raise EgressRefused("too_many_headers", f"At most {MAX_HEADERS} headers can be added.")
        if not _TOKEN.fullmatch(name):
            raise EgressRefused("bad_header_name", f"{name!r} is not a header's name.")
        lowered = name.lower()
        if lowered in _RESERVED_HEADERS or lowered.startswith("proxy-"):
            raise EgressRefused("reserved_header", f"{name} is set by Tocsin or the connection.")
        # Case makes no other name (RFC 9110, 5.1), and receivers disagree which of two counts.
        if lowered in seen:
            raise EgressRefused("duplicate_header", f"{name} is there twice.")
        seen.add(lowered)
        if not _VALUE.fullmatch(value):
            raise EgressRefused(
                "bad_header_value", f"The value of {name} is not printable ASCII in one line."
            )
        if len(name) + len(value) > MAX_HEADER_BYTES:
            raise EgressRefused("header_too_long", f"{name} is over {MAX_HEADER_BYTES} bytes.")
