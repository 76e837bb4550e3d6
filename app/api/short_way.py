"""The short way to an answer that is at hand: what is asked most, without Flask.

A page that a client or a dashboard asks for again is in this process already; to find it costs
microseconds, and Flask around it many times that. So the plainest of requests, a GET that was
answered from the cache before by the whole application, is answered here: by the same checks
(token, role, rate limit), the same answer and headers, the same log line and metrics. Whatever is
in any way different or not at hand goes on to Flask.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cachebox import LRUCache
from flask import Flask, Response, g, request

from app.api.access import ACCESS, token_arguments
from app.api.limits import COUNTED, RequestLimit, headers_of
from app.api.requests import known_by, note
from app.deps import Deps
from app.domain.access import Role, may
from app.services.queries.query import Arguments, Query
from app.services.queries.tokens import PRINCIPAL

WAYS_KNOWN: Final = 4096
TOKENS_KNOWN: Final = 4096
# Longer ones are few, and not worth their room.
MAX_QUERY: Final = 512
# In a request these change what is answered, or need a closer look.
UNUSUAL: Final = (
    "HTTP_IF_NONE_MATCH",
    "HTTP_CACHE_CONTROL",
    "HTTP_ORIGIN",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_X_HTTP_METHOD_OVERRIDE",
    "CONTENT_LENGTH",
)
# In an answer these are another's each time.
CHANGING: Final = frozenset(
    {
        "etag",
        "age",
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
class _Way:
    """Where an address leads, and the headers that every answer there has."""

    query: Query
    key: str
    needed: Role
    route: str
    headers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Token:
    """Until when a token is good, in seconds since 1970, and under which key it is known whose."""

    expires_at: float
    key: str


class ShortWay:
    """WSGI, around Flask's. Thread-safe."""

    def __init__(self, app: Flask, deps: Deps, limit: RequestLimit) -> None:
        self._long_way: Application = app.wsgi_app
        self._deps = deps
        self._limit = limit
        self._ways: LRUCache[tuple[str, str], _Way] = LRUCache(WAYS_KNOWN)
        # By the header as it was sent, so that no two are ever taken for one.
        self._tokens: LRUCache[str, _Token] = LRUCache(TOKENS_KNOWN)
        # Flask calls them in reverse: this one sees what all others have added.
        app.after_request_funcs.setdefault(None, []).insert(0, self._learn)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        way = self._ways.get((environ["PATH_INFO"], environ["QUERY_STRING"]))
        if way is not None and _is_plain(environ):
            body = self._answer(way, environ, start_response)
            if body is not None:
                return (body,)
        return self._long_way(environ, start_response)

    def _answer(self, way: _Way, environ: Environ, start_response: StartResponse) -> bytes | None:
        began = time.perf_counter()
        token = self._tokens.get(environ.get("HTTP_AUTHORIZATION", ""))
        if token is None or token.expires_at <= time.time():
            return None
        reader = self._deps.reader
        principal = reader.at_hand(PRINCIPAL, token.key)
        if principal is None:
            return None
        who = orjson.loads(principal.entry.body)
        if not may(Role(who["role"]), way.needed):
            return None
        answer = reader.at_hand(way.query, way.key)
        if answer is None:
            return None
        verdict = self._limit.count_reader(f"user:{who['id']}")
        if not verdict.allowed:
            environ[COUNTED] = verdict
            return None
        request_id = known_by(environ.get("HTTP_X_REQUEST_ID"))
        entry = answer.entry
        headers = [
            *way.headers,
            ("Content-Length", str(len(entry.body))),
            ("ETag", entry.etag),
            ("Age", str(int(answer.age))),
            *headers_of(verdict),
            ("X-Request-ID", request_id),
        ]
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        note(
            self._deps.meter,
            way.route,
            "GET",
            f"{path}?{query}" if query else path,
            200,
            (time.perf_counter() - began) * 1000,
            who["name"],
            environ.get("REMOTE_ADDR"),
        )
        start_response("200 OK", headers)
        return entry.body

    def _learn(self, response: Response) -> Response:
        """Of an answer of the cache, how to find it again."""
        found: tuple[Query, Arguments] | None = g.get("from_cache")
        claims: Mapping[str, Any] | None = g.get("token_claims")
        environ = request.environ
        asked = environ["QUERY_STRING"]
        header = environ.get("HTTP_AUTHORIZATION")
        if (
            found is None
            or claims is None
            or header is None
            or response.status_code != 200
            or "Warning" in response.headers
            or "token" in request.args
            or len(asked) > MAX_QUERY
            or not asked.isascii()
            or not _is_plain(environ)
            or request.url_rule is None
        ):
            return response
        needed = ACCESS[request.url_rule.endpoint]
        if needed is not None:
            headers = [one for one in response.headers if one[0].lower() not in CHANGING]
            query, arguments = found
            way = _Way(query, query.key(arguments), needed, request.url_rule.rule, headers)
            self._ways.insert((environ["PATH_INFO"], asked), way)
            whose = PRINCIPAL.key(token_arguments(claims))
            self._tokens.insert(header, _Token(claims["exp"], whose))
        return response


def _is_plain(environ: Environ) -> bool:
    return environ["REQUEST_METHOD"] == "GET" and not any(name in environ for name in UNUSUAL)
