"""The REST API, as the command line speaks to it: to one server, over the standard library.

The delivery's HTTP client is not for this: its egress guard, which refuses private addresses, is
for what users register, and a Tocsin is mostly at such an address. Here the operator names the
server, so what is left to guard is the token: it goes to that server only, since no redirect is
followed and no proxy of the environment is used.
"""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from http import client as http
from typing import Any
from urllib.parse import urlencode, urlsplit

import click

from app.cli.exits import Exit, Failure
from app.version import VERSION

PREFIX = "/api/v1"
TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
PAGE = 100
# How often, and for how long each time, a command waits until it may ask again.
PATIENCE_TURNS = 20
PATIENCE_SECONDS = 120

_CODES = {401: Exit.NOT_ALLOWED, 403: Exit.NOT_ALLOWED, 404: Exit.NOT_FOUND, 503: Exit.NO_ANSWER}


class Refused(Failure):
    """The server said no; `status` is its HTTP status."""

    def __init__(self, status: int, text: str, retry_after_seconds: int | None) -> None:
        super().__init__(_CODES.get(status, Exit.FAILED), text)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class Api:
    """`url` is the server's root. `token` is asked before each request, so it may make new ones.

    Every call raises Failure (Refused where the server answered). A rate limit is waited for,
    unless `patient` is False. With `fresh` False, what the server's cache has will do.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str | None],
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        patient: bool = True,
        fresh: bool = True,
    ) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Failure(Exit.USAGE, f"{url} is no URL of a server, like https://tocsin.example.")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._host, self._port = parts.hostname, parts.port
        self._is_tls = parts.scheme == "https"
        # As a person would copy it from the ready block.
        self._root = parts.path.rstrip("/").removesuffix(PREFIX)
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._patient = patient
        self._fresh = fresh

    def get(self, path: str, **query: Any) -> Any:
        """`path` is below /api/v1; what is None in the query is left out."""
        return self.request("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.request("POST", path, body=body)

    def patch(self, path: str, body: Any) -> Any:
        return self.request("PATCH", path, body=body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page, the newest first."""
        cursor = None
        while True:
            page = self.get(path, limit=PAGE, cursor=cursor, **query)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def health(self) -> dict[str, Any]:
        """`/health/deep`, which answers 503 without the database and is no error here."""
        status, body, _ = self._exchange("GET", "/health/deep", None, {})
        if not isinstance(body, dict) or "checks" not in body:
            raise self._refusal(status, body, None)
        return body

    def request(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        asked = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        target = PREFIX + path + (f"?{urlencode(asked)}" if asked else "")
        for turns_left in range(PATIENCE_TURNS if self._patient else 0, -1, -1):
            token = self._token()
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            status, answer, retry_after = self._exchange(method, target, body, headers)
            if 200 <= status < 300:
                return answer
            refusal = self._refusal(status, answer, retry_after)
            waits = refusal.retry_after_seconds
            if status != 429 or not turns_left or waits is None or waits > PATIENCE_SECONDS:
                raise refusal
            click.echo(f"The rate limit is reached; going on in {waits} s.", err=True)
            time.sleep(waits)  # as the server asked
        raise AssertionError("not reached: the last turn answers or raises")

    def _exchange(
        self, method: str, target: str, body: Any, headers: Mapping[str, str]
    ) -> tuple[int, Any, str | None]:
        sent = None if body is None else json.dumps(body).encode()
        fixed = {"Accept": "application/json", "User-Agent": f"tocsin-cli/{VERSION}"}
        if self._fresh:
            # An operator is told how things are now, not how they were a moment ago.
            fixed["Cache-Control"] = "no-cache"
        if sent is not None:
            fixed["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, self._root + target, sent, fixed | dict(headers))
            response = connection.getresponse()
            raw = response.read(MAX_ANSWER_BYTES + 1)
        except (OSError, http.HTTPException) as error:
            raise Failure(
                Exit.NO_ANSWER,
                f"{self.url} does not answer: {error or type(error).__name__}. Is it running?"
                " `tocsin doctor`, on its machine, says more.",
            ) from None
        finally:
            connection.close()
        return response.status, self._read(raw, response), response.headers.get("Retry-After")

    def _connection(self) -> http.HTTPConnection:
        if not self._is_tls:
            return http.HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)
        return http.HTTPSConnection(
            self._host,
            self._port,
            timeout=self._timeout_seconds,
            context=ssl.create_default_context(),
        )

    def _read(self, raw: bytes, response: http.HTTPResponse) -> Any:
        if not raw:
            return None
        try:
            if len(raw) > MAX_ANSWER_BYTES:
                raise ValueError
            return json.loads(raw)
        except ValueError:
            raise Failure(
                Exit.NO_ANSWER,
                f"{self.url} answered {response.status} with something that Tocsin does not say."
                " Is that its address?",
            ) from None

    def _refusal(self, status: int, answer: Any, retry_after: str | None) -> Refused:
        detail = answer.get("detail") if isinstance(answer, dict) else None
        lines = [str(detail or f"{self.url} answered {status}.")]
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if isinstance(errors, dict):
            lines += [f"  {field}: {' '.join(map(str, said))}" for field, said in errors.items()]
        if status == 401:
            lines.append("Give a token that counts: --token, TOCSIN_TOKEN or TOCSIN_API_KEY.")
        seconds = int(retry_after) if retry_after and retry_after.isdigit() else None
        return Refused(status, "\n".join(lines), seconds)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
