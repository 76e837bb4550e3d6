"""What the short way can't answer Flask does: nothing is counted, asked or said twice."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jwt
import pytest
import structlog
from flask import Flask, request_started
from sqlalchemy import text
from werkzeug.test import create_environ

from app.adapters import quick_redis
from app.api.context import EXTENSION
from app.deps import Deps
from app.factory import create_app
from app.services import accounts
from app.services.audit import act_as
from app.settings import Settings
from tests.harness.waiting import eventually
from tests.services.world import World

PASSWORD = "a long pass phrase"
LIMIT = 100_000


@pytest.fixture
def app(
    settings: Settings,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Flask]:
    """With a limit of LIMIT requests, or what a test says instead."""
    # The machine of the tests may be slower than a request would wait for Redis.
    monkeypatch.setattr(quick_redis, "ANSWER_TIMEOUT_SECONDS", 2.0)
    root = logging.getLogger()
    before = (root.handlers, root.level)
    made = create_app(
        settings.model_copy(
            update={
                "rate_limit_requests": getattr(request, "param", LIMIT),
                "rate_limit_window_seconds": 3600,
            }
        )
    )
    # Until then it trusts nothing that it has.
    eventually(made.extensions[EXTENSION].cache.listens, what="the other processes")
    yield made
    made.extensions[EXTENSION].close()
    root.handlers, root.level = before
    structlog.reset_defaults()
    # What a request says of itself to its thread, the next one overwrites; no request comes here.
    structlog.contextvars.clear_contextvars()
    act_as(None)


@pytest.fixture
def token(app: Flask, deps: Deps) -> str:
    with deps.unit_of_work() as work:
        accounts.ensure_admin(work.session, "short-way", PASSWORD)
    body = {"username": "short-way", "password": PASSWORD}
    answer = app.test_client().post("/api/v1/auth/login", json=body)
    return str(answer.get_json()["access_token"])


def ask(app: Flask, token: str, query: str) -> tuple[int, Mapping[str, str], bytes]:
    """As gunicorn does: a test client of Flask's says more of a request than a client would."""
    environ = create_environ("/api/v1/alerts", query_string=query)
    environ = {name: value for name, value in environ.items() if name != "CONTENT_LENGTH"}
    said: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], _error: Any = None
    ) -> Callable[[bytes], object]:
        said.append((status, headers))
        return lambda _body: None

    given = {"HTTP_AUTHORIZATION": f"Bearer {token}", "REMOTE_ADDR": "127.0.0.1"}
    whole = b"".join(app(environ | given, start_response))
    ((status, headers),) = said
    return int(status.split()[0]), dict(headers), whole


def left(headers: Mapping[str, str]) -> int:
    return int(headers["RateLimit-Remaining"])


def known(app: Flask, token: str) -> None:
    """Ask until Flask is not asked: it is while whose the token is has to be read again, or
    something was heard that has to be looked at."""
    asked: list[Flask] = []

    def without_flask() -> bool:
        before = len(asked)
        assert {ask(app, token, query)[0] for query in ("limit=4", "limit=5", "limit=4")} == {200}
        return len(asked) == before

    with request_started.connected_to(asked.append, app):
        eventually(without_flask, what="three answers without Flask")


def test_a_load_that_fails_is_an_error_as_any_other_and_counted_once(
    app: Flask, token: str, deps: Deps
) -> None:
    known(app, token)
    _, headers, _ = ask(app, token, "limit=2")
    before = left(headers)
    with deps.database.session() as session:
        session.execute(text("ALTER TABLE pggit.alerts RENAME TO elsewhere"))
    try:
        status, headers, body = ask(app, token, "limit=3")
    finally:
        with deps.database.session() as session:
            session.execute(text("ALTER TABLE pggit.elsewhere RENAME TO alerts"))
    assert status == 500
    assert left(headers) == before - 1
    assert headers["X-Request-ID"].encode() in body
    assert b"Traceback" not in body
    assert ask(app, token, "limit=3")[0] == 200


def test_flask_is_not_asked_for_what_is_known(app: Flask, token: str) -> None:
    known(app, token)
    asked: list[Flask] = []
    with request_started.connected_to(asked.append, app):
        assert ask(app, token, "limit=0")[0] == 422
        assert ask(app, "x", "limit=4")[0] == 401
        assert len(asked) == 2


@pytest.mark.parametrize("app", [30], indirect=True)
def test_one_too_many_is_refused_and_counted_once(app: Flask, token: str) -> None:
    _, first, _ = ask(app, token, "limit=4")
    found = [ask(app, token, "limit=4") for _ in range(left(first))]
    assert {status for status, _, _ in found} == {200}
    assert [left(headers) for _, headers, _ in found] == list(reversed(range(left(first))))
    status, headers, _ = ask(app, token, "limit=4")
    assert (status, left(headers)) == (429, 0)
    assert int(headers["Retry-After"]) >= 1


def test_a_token_that_is_known_ends_all_the_same(
    app: Flask, token: str, settings: Settings
) -> None:
    claims = jwt.decode(token, options={"verify_signature": False})
    ends_at = int(time.time()) + 5
    short = jwt.encode(claims | {"exp": ends_at}, settings.jwt_secret_key, "HS256")
    known(app, short)
    eventually(lambda: time.time() > ends_at, what="the end of the token")
    # Whose it is is at hand: the two are of one login.
    known(app, token)
    assert ask(app, short, "limit=4")[0] == 401
    assert ask(app, token, "limit=4")[0] == 200
