"""The short way to what is asked most, without Flask.

A page that a client or a dashboard asks for again is in this process already; to find it costs
microseconds, and Flask around it many times that. So the plainest of requests, a GET of what the
whole application has answered from a declared query before, is answered here: by the same checks
(token, role, rate limit), with the same answer and headers, log line and metrics. Whatever is in
any way different, or what nobody has asked for yet, goes on to Flask, which says all errors.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cachebox import LRUCache
from flask import Flask, Response, g, request
from marshmallow import Schema

from app.api import cached
from app.api.access import ACCESS, token_arguments
from app.api.limits import COUNTED, RequestLimit, headers_of
from app.api.openapi import read_query
from app.api.requests import known_by, note
from app.api.schemas.alerts import AlertQuery, DeliveryQuery
from app.deps import Deps
from app.domain.access import Role, may
from app.services.queries.query import Arguments, Query
from app.services.queries.tokens import PRINCIPAL

# Lists whose views do nothing but answer a query with what their query string says: any page of
# them is found here, where others have to be at hand.
LISTS: Final[Mapping[str, Schema]] = {
    "alerts.list_alerts": AlertQuery(),
    "deliveries.list_deliveries": DeliveryQuery(),
}
ADDRESSES_KNOWN: Final = 4096
TOKENS_KNOWN: Final = 4096
# Longer ones are few, and not worth their room.
MAX_QUERY: Final = 512
# In a request's environment: what went wrong here, for Flask to say.
FAILED: Final = "tocsin.failed"
# In a request these change what is answered, or need a closer look.
UNUSUAL: Final = (
    "HTTP_IF_NONE_MATCH",
    "HTTP_CACHE_CONTROL",
    "HTTP_ORIGIN",
    "HTTP_TRANSFER_ENCODING",
    "CONTENT_LENGTH",
)
# In an answer these are others each time.
CHANGING: Final = frozenset(
    {
        "etag",
        "cache-control",
        "age",
        "warning",
        "content-length",
        "x-request-id",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    }
)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class _Route:
    """What a path leads to, and the headers that every answer there has."""

    query: Query
    needed: Role
    rule: str
    schema: Schema | None
    headers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Address:
    """A path and its query string. Without arguments it can't be loaded here."""

    route: _Route
    key: str
    arguments: Arguments | None


@dataclass(frozen=True, slots=True)
class _Token:
    """Until when a token is good, in seconds since 1970, and under which key it is known whose."""

    expires_at: float
    key: str


class ShortWay:
    """WSGI, around Flask's. Thread-safe. Make it when all other hooks of the app are there."""

    def __init__(self, app: Flask, deps: Deps, limit: RequestLimit) -> None:
        self._long_way: Application = app.wsgi_app
        self._deps = deps
        self._limit = limit
        self._lists: LRUCache[str, _Route] = LRUCache(len(LISTS))
        self._addresses: LRUCache[tuple[str, str], _Address] = LRUCache(ADDRESSES_KNOWN)
        # By the header as it was sent, so that no two are ever taken for one.
        self._tokens: LRUCache[str, _Token] = LRUCache(TOKENS_KNOWN)
        app.before_request(_raise_what_failed)
        # Flask calls them in reverse: this one sees what all others have added.
        app.after_request_funcs.setdefault(None, []).insert(0, self._learn)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if _is_plain(environ):
            address = self._address(environ)
            if address is not None:
                body = self._answer(address, environ, start_response)
                if body is not None:
                    return (body,)
        return self._long_way(environ, start_response)

    def _address(self, environ: Environ) -> _Address | None:
        path, asked = environ["PATH_INFO"], environ["QUERY_STRING"]
        known: _Address | None = self._addresses.get((path, asked))
        if known is not None:
            return known
        route: _Route | None = self._lists.get(path)
        if route is None or route.schema is None or not _may_be_kept(asked):
            return None
        arguments = read_query(asked, route.schema)
        if arguments is None:
            return None
        address = _Address(route, route.query.key(arguments), arguments)
        self._addresses.insert((path, asked), address)
        return address

    def _answer(
        self, address: _Address, environ: Environ, start_response: StartResponse
    ) -> bytes | None:
        began = time.perf_counter()
        route, reader = address.route, self._deps.reader
        token: _Token | None = self._tokens.get(environ.get("HTTP_AUTHORIZATION", ""))
        if token is None or token.expires_at <= time.time():
            return None
        principal = reader.at_hand(PRINCIPAL, token.key)
        if principal is None:
            return None
        who = orjson.loads(principal.entry.body)
        if not may(Role(who["role"]), route.needed):
            return None
        answer = reader.at_hand(route.query, address.key)
        if answer is None and address.arguments is None:
            return None
        verdict = self._limit.count_reader(f"user:{who['id']}")
        if not verdict.allowed:
            environ[COUNTED] = verdict
            return None
        request_id = known_by(environ.get("HTTP_X_REQUEST_ID"))
        if answer is None:
            try:
                answer = reader.get(route.query, address.arguments or {})
            except Exception as error:
                environ[COUNTED], environ[FAILED] = verdict, error
                return None
        headers = [
            *route.headers,
            ("Content-Length", str(len(answer.entry.body))),
            *cached.headers_of(answer),
            *headers_of(verdict),
            ("X-Request-ID", request_id),
        ]
        self._note(route, environ, who["name"], began)
        start_response("200 OK", headers)
        return answer.entry.body

    def _note(self, route: _Route, environ: Environ, user: str, began: float) -> None:
        path, asked = environ["PATH_INFO"], environ["QUERY_STRING"]
        note(
            self._deps.meter,
            route.rule,
            "GET",
            f"{path}?{asked}" if asked else path,
            200,
            (time.perf_counter() - began) * 1000,
            user,
            environ.get("REMOTE_ADDR"),
        )

    def _learn(self, response: Response) -> Response:
        """Of an answer to a declared query, how to find it again."""
        found: tuple[Query, Arguments] | None = g.get("from_cache")
        claims: Mapping[str, Any] | None = g.get("token_claims")
        environ, rule = request.environ, request.url_rule
        path, asked = environ["PATH_INFO"], environ["QUERY_STRING"]
        header = environ.get("HTTP_AUTHORIZATION")
        if found is None or claims is None or header is None or rule is None:
            return response
        needed = ACCESS[rule.endpoint]
        if (
            needed is None
            or response.status_code != 200
            or not _is_plain(environ)
            or not _may_be_kept(asked)
        ):
            return response
        headers = [one for one in response.headers if one[0].lower() not in CHANGING]
        query, arguments = found
        route = _Route(query, needed, rule.rule, LISTS.get(rule.endpoint), headers)
        if route.schema is None:
            address = _Address(route, query.key(arguments), None)
        else:
            address = _Address(route, query.key(arguments), arguments)
            self._lists.insert(path, route)
        self._addresses.insert((path, asked), address)
        self._tokens.insert(header, _Token(claims["exp"], PRINCIPAL.key(token_arguments(claims))))
        return response


def _raise_what_failed() -> None:
    """Flask's handlers know how to say it. All checks have been made once more before."""
    error = request.environ.get(FAILED)
    if error is not None:
        raise error


def _is_plain(environ: Environ) -> bool:
    return environ["REQUEST_METHOD"] == "GET" and not any(map(environ.get, UNUSUAL))


def _may_be_kept(asked: str) -> bool:
    """Not a query string with a token in it: that is nobody's to keep."""
    return len(asked) <= MAX_QUERY and asked.isascii() and "token" not in asked
