"""Errors: every one in the one shape, whatever was asked and however."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.acceptance.checks import refused, signed_in
from tests.harness.client import Client
from tests.harness.system import PASSWORD, System
from tests.harness.waiting import eventually

ALERTS = "/api/v1/alerts"
WEBHOOKS = "/api/v1/webhooks"
ALERT = {"title": "Disk almost full", "severity": "critical"}
JSON = {"Content-Type": "application/json"}
MIB = 1024 * 1024
MAX_ID = 2**63 - 1


def fresh(client: Client) -> Client:
    """On a connection of its own: the server closes one whose body it did not read to the end."""
    return Client(client.base_url, client.token)


# --- 400 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b'{"title": "a",}',
        b"{'title': 'a'}",
        b'{"title": "a"} {"title": "b"}',
        b'{"title": NaN}',
        b'{"title": Infinity}',
        b'{"title": -Infinity}',
        b'{"title": "line\nbreak"}',
        b'{"title": "a", "count": ' + b"1" * 5000 + b"}",
        '{"title": "größer"}'.encode("latin-1"),
        '{"title": "a"}'.encode("utf-16"),
        b"\xef\xbb\xbf" + b'{"title": "a"}',  # a byte order mark
        b"[" * 101 + b"]" * 101,
        b'{"title":' * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_400_for_a_body_that_is_no_json(admin: Client, body: bytes) -> None:
    for path in (ALERTS, f"{ALERTS}/batch", WEBHOOKS, "/api/v1/auth/login"):
        refused(admin.post(path, data=body, headers=JSON), 400)


def test_400_whatever_charset_is_promised(client: Client) -> None:
    headers = {"Content-Type": "application/json; charset=latin-1"}
    refused(client.post(ALERTS, data='{"title": "größer"}'.encode("latin-1"), headers=headers), 400)
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = client.post(ALERTS, data=json.dumps(ALERT).encode(), headers=headers)
    assert answer.status_code == 201, answer.text


# --- 401 ---------------------------------------------------------------------------------


def bad_tokens(client: Client, secret: str) -> Iterator[tuple[str, str]]:
    """Tokens that must not be taken, each by what is wrong with it."""
    assert client.token is not None
    claims: dict[str, Any] = jwt.decode(client.token, options={"verify_signature": False})
    now = int(time.time())

    def made(key: str = secret, algorithm: str = "HS256", **changes: Any) -> str:
        changed = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode(changed, key, algorithm)

    # Made like this one is taken: what is refused below is refused for what it says it is.
    assert client.with_token(made()).get(WEBHOOKS).status_code == 200

    yield "garbage", "garbage"
    yield "three parts of it", "a.b.c"
    yield "no ASCII", "größer"
    yield "no such API key", "tsk_" + "a" * 43
    yield "expired", made(exp=now - 1)
    yield "not yet", made(nbf=now + 3600)
    yield "no end", made(exp=None)
    yield "another key", made("another secret key of a good length")
    yield "another algorithm", made(algorithm="HS512")
    yield "no algorithm", jwt.encode(claims, "", algorithm="none")
    yield "another audience", made(aud="somebody-else")
    yield "no audience", made(aud=None)
    yield "another issuer", made(iss="somebody-else")
    yield "no issuer", made(iss=None)
    yield "refresh as access", made(type="refresh")
    yield "no user", made(sub="1000000")
    yield "no number", made(sub="admin")
    yield "no session", made(sid=None)
    head, _, signature = made().split(".")
    forged = jwt.encode(claims | {"sub": "2"}, "", algorithm="none").split(".")[1]
    yield "another's claims", f"{head}.{forged}.{signature}"
    yield "cut", made()[:-1]


def test_401_without_a_good_token(admin: Client, system: System) -> None:
    nobody = admin.as_nobody()
    for scheme in ({}, {"Authorization": ""}, {"Authorization": "Bearer"}):
        error = nobody.get(WEBHOOKS, headers=scheme)
        refused(error, 401)
        assert error.headers["www-authenticate"] == "Bearer"
    for header in (f"Basic {admin.token}", f"{admin.token}", "Digest x"):
        refused(nobody.get(WEBHOOKS, headers={"Authorization": header}), 401)
    for name, token in bad_tokens(admin, system.settings["JWT_SECRET_KEY"]):
        answer = nobody.get(WEBHOOKS, headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == 401, name
        refused(answer, 401)
        refused(nobody.get(WEBHOOKS, params={"token": token}), 401)


def test_401_for_a_real_refresh_token(admin: Client) -> None:
    tokens = admin.as_nobody().post(
        "/api/v1/auth/login", json={"username": "admin", "password": PASSWORD}
    )
    refused(admin.with_token(tokens.json()["refresh_token"]).get(WEBHOOKS), 401)


# --- 403, 404, 405 -----------------------------------------------------------------------


def test_403_for_a_role_that_is_too_low(client: Client) -> None:
    viewer, operator = signed_in(client, "viewer"), signed_in(client, "operator")
    error = refused(viewer.post(ALERTS, json=ALERT), 403)
    assert "operator" in error["detail"]
    assert "viewer" in error["detail"]
    refused(operator.post(WEBHOOKS, json={}), 403)  # before anybody looks at the body
    assert viewer.get(ALERTS).status_code == 200
    assert operator.post(ALERTS, json=ALERT).status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/api",
        "/api/v1",
        "/api/v1/nowhere",
        "/api/v1/webhooks/",
        "/api/v2/webhooks",
        "/api/docs/nowhere.js",
        "/api/docs/..%2f..%2fdocs.html",
        "/%00",
        "/%ff%fe",
    ],
)
def test_404_for_an_unknown_path(admin: Client, path: str) -> None:
    for who in (admin, admin.as_nobody()):
        refused(who.get(path), 404)
        refused(who.get(path, headers={"Accept": "text/html"}), 404)


@pytest.mark.parametrize(
    "unknown",
    [1, MAX_ID, MAX_ID + 1, 10**30, "9" * 5000, 0, -1, "1.0", "one", "%00"],
    ids=lambda unknown: str(unknown)[:24],
)
def test_404_for_an_unknown_id(client: Client, unknown: object) -> None:
    for method, path in (
        ("GET", f"{WEBHOOKS}/{unknown}"),
        ("GET", f"{WEBHOOKS}/{unknown}/health"),
        ("POST", f"{WEBHOOKS}/{unknown}/check"),
        ("DELETE", f"{WEBHOOKS}/{unknown}"),
        ("GET", f"{ALERTS}/{unknown}"),
        ("GET", f"{ALERTS}/{unknown}/deliveries"),
        ("POST", f"{ALERTS}/{unknown}/acknowledge"),
        ("POST", f"{ALERTS}/{unknown}/resolve"),
        ("GET", f"/api/v1/deliveries/{unknown}"),
        ("POST", f"/api/v1/deliveries/{unknown}/retry"),
        ("DELETE", f"/api/v1/api-keys/{unknown}"),
        ("GET", f"/api/v1/jobs/{unknown}/executions"),
        ("POST", f"/api/v1/jobs/{unknown}/run"),
    ):
        refused(client.request(method, path), 404)
    if unknown != 1:  # the first admin
        refused(client.get(f"/api/v1/users/{unknown}"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", WEBHOOKS, {"GET", "POST"}),
        ("PATCH", ALERTS, {"GET", "POST"}),
        ("POST", f"{WEBHOOKS}/1", {"GET", "PUT", "PATCH", "DELETE"}),
        ("GET", f"{ALERTS}/1/acknowledge", {"POST"}),
        ("GET", "/api/v1/auth/login", {"POST"}),
        ("POST", "/health", {"GET"}),
        ("POST", "/api/openapi.json", {"GET"}),
        ("BREW", WEBHOOKS, {"GET", "POST"}),
        ("TRACE", WEBHOOKS, {"GET", "POST"}),
    ],
)
def test_405_says_what_is_allowed(admin: Client, method: str, path: str, allowed: set[str]) -> None:
    for who in (admin, admin.as_nobody()):
        answer = who.request(method, path)
        refused(answer, 405)
        said = set(answer.headers["allow"].split(", "))
        assert said - {"HEAD", "OPTIONS"} == allowed


# --- 413, 414, 415, 431 ------------------------------------------------------------------


def spaces(size: int) -> bytes:
    """Nothing but white space: small enough it is read, and is no JSON."""
    return b" " * size


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", ALERTS, MIB),
        ("POST", WEBHOOKS, MIB),
        ("PUT", f"{WEBHOOKS}/1", MIB),
        ("POST", f"{ALERTS}/acknowledge-batch", MIB),
        ("POST", "/api/v1/auth/login", MIB),
        ("POST", f"{ALERTS}/batch", 8 * MIB),
    ],
)
def test_413_over_the_limit(admin: Client, method: str, path: str, limit: int) -> None:
    body = spaces(limit + 1)
    refused(fresh(admin).request(method, path, data=body, headers=JSON), 413)
    # In chunks nobody says beforehand how much there will be.
    refused(fresh(admin).request(method, path, data=iter([body]), headers=JSON), 413)
    refused(fresh(admin).request(method, path, data=body[:limit], headers=JSON), 400)


def test_a_batch_of_2_mib_is_taken(client: Client) -> None:
    alerts = [ALERT | {"message": "a" * 20_000} for _ in range(110)]
    assert len(json.dumps({"alerts": alerts})) > 2 * MIB
    answer = client.post(f"{ALERTS}/batch", json={"alerts": alerts})
    assert answer.status_code == 201, answer.text


def test_a_body_in_chunks_is_taken(client: Client) -> None:
    body = json.dumps(ALERT).encode()
    answer = client.post(ALERTS, data=iter([body[:9], body[9:]]), headers=JSON)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=a"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "json"},
    ],
)
def test_415_for_another_content_type(admin: Client, headers: dict[str, str]) -> None:
    body = json.dumps(ALERT).encode()
    for path in (ALERTS, WEBHOOKS, "/api/v1/auth/login"):
        refused(admin.post(path, data=body, headers=headers), 415)


@pytest.mark.parametrize(
    ("status_code", "query", "headers"),
    [
        (414, "q=" + "a" * 9000, {}),
        (431, "", {"X-Long": "a" * 9000}),
        (431, "", {f"X-{number}": "" for number in range(120)}),
        (400, "", {"X Y": "a space in the name"}),
    ],
    ids=["a long URL", "a long header", "many headers", "a bad header"],
)
def test_what_the_server_itself_refuses_looks_no_different(
    admin: Client, status_code: int, query: str, headers: dict[str, str]
) -> None:
    refused(fresh(admin).get(f"{ALERTS}?{query}", headers=headers), status_code)


# --- 422 ---------------------------------------------------------------------------------

HOOK = {"name": "on-call", "url": "http://127.0.0.1:9000/hook"}


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (ALERTS, {}, {"title", "severity"}),
        (ALERTS, ALERT | {"colour": 1, "id": 5}, {"colour", "id"}),
        (ALERTS, ALERT | {"labels": {"a": 1, "b": "b"}}, {"labels.a"}),
        (ALERTS, ALERT | {"labels": {"key": 1, "value": None}}, {"labels.key", "labels.value"}),
        (ALERTS, ALERT | {"webhook_ids": [1, "2", 0]}, {"webhook_ids.1", "webhook_ids.2"}),
        (ALERTS, [ALERT], {"_schema"}),
        (ALERTS, "Disk almost full", {"_schema"}),
        (ALERTS, None, {"_schema"}),
        (ALERTS, 5, {"_schema"}),
        (WEBHOOKS, HOOK | {"secret": "whsec_mine", "id": 5}, {"secret", "id"}),
        (WEBHOOKS, HOOK | {"health_check": {"path": "/"}}, {"health_check.path"}),
        (WEBHOOKS, HOOK | {"retry_schedule_seconds": [0, -1]}, {"retry_schedule_seconds.1"}),
        (f"{ALERTS}/batch", {"alerts": [ALERT], "dry_run": True}, {"dry_run"}),
        (f"{ALERTS}/batch", {"alerts": ALERT}, {"alerts"}),
        (f"{ALERTS}/acknowledge-batch", {"alert_ids": [1, None]}, {"alert_ids.1"}),
        ("/api/v1/users", {"username": "a", "password": "short"}, {"password"}),
        ("/api/v1/api-keys", {"name": "a", "role": "root"}, {"role"}),
        ("/api/v1/auth/login", {"username": "admin"}, {"password"}),
    ],
)
def test_422_says_which_field(admin: Client, path: str, body: object, fields: set[str]) -> None:
    answer = admin.post(path, data=json.dumps(body), headers=JSON)
    refused(answer, 422, *fields)
    # The shape is the map of lists of sentences that the contract names.
    errors = answer.json()["errors"]
    assert all(isinstance(text, str) for texts in errors.values() for text in texts)


def test_422_for_nothing_at_all(admin: Client) -> None:
    refused(admin.post(ALERTS), 422, "title", "severity")
    refused(admin.post(WEBHOOKS, data=b"", headers=JSON), 422, "name", "url")


# --- 500 ---------------------------------------------------------------------------------


def test_500_tells_nothing_but_where_to_look(client: Client, system: System) -> None:
    """A table is away for a moment, which nobody foresaw: the log knows, the client does not."""
    with system.sql() as connection:
        connection.execute("ALTER TABLE pggit.api_keys RENAME TO api_keys_away")
        try:
            answer = client.get("/api/v1/api-keys", headers={"X-Request-ID": "find-me-500"})
        finally:
            connection.execute("ALTER TABLE pggit.api_keys_away RENAME TO api_keys")
    error = refused(answer, 500)
    assert error["request_id"] == "find-me-500"
    for inside in ("api_keys", "SELECT", "psycopg", "sqlalchemy", "line "):
        assert inside not in answer.text
    assert client.get("/api/v1/api-keys").status_code == 200

    def logged() -> list[dict[str, Any]]:
        lines = (system.data_dir / "logs" / "web.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if "find-me-500" in line]
        return [line for line in found if line["action"] == "unexpected_error"]

    (line,) = eventually(logged, what="the log line")
    assert line["level"] == "error"
    assert "UndefinedTable" in line["exception"]


# --- The id of a request -----------------------------------------------------------------


def test_a_request_id_is_given_back(admin: Client) -> None:
    for path, status_code in (("/health", 200), (ALERTS, 200), ("/nowhere", 404)):
        answer = admin.get(path, headers={"X-Request-ID": "from.the-caller_1"})
        assert answer.status_code == status_code
        assert answer.headers["x-request-id"] == "from.the-caller_1"
    assert answer.json()["request_id"] == "from.the-caller_1"


@pytest.mark.parametrize("given", ["", "a b", "a" * 65, "größer", 'a"b', "a{b}"])
def test_a_request_id_that_would_not_log_well_is_replaced(admin: Client, given: str) -> None:
    answer = admin.get("/nowhere", headers={"X-Request-ID": given.encode()})
    refused(answer, 404)
    assert answer.headers["x-request-id"] not in {"", given}


def test_each_request_has_an_id_of_its_own(admin: Client) -> None:
    seen = {admin.get("/nowhere").headers["x-request-id"] for _ in range(5)}
    assert len(seen) == 5


def test_a_filter_that_nobody_knows_is_refused_not_ignored(client: Client) -> None:
    answer = client.get("/api/v1/alerts?statuss=pending")
    refused(answer, 422)
    assert answer.json()["errors"] == {"statuss": ["Unknown field."]}


def test_what_can_be_one_thing_only_is_refused_when_given_twice(client: Client) -> None:
    """Of every operation and every parameter in its query, by the document."""
    asked = 0
    for path, item in client.get("/api/openapi.json").json()["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            for parameter in operation.get("parameters", ()):
                if parameter["in"] != "query" or parameter["schema"].get("type") == "array":
                    continue
                name = parameter["name"]
                answer = client.request(
                    method.upper(), re.sub(r"{\w+}", "1", path), params=[(name, "1"), (name, "1")]
                )
                refused(answer, 422, name)
                asked += 1
    assert asked > 50
    answer = client.get("/api/v1/metrics/query?operation=a&label.host=a&label.host=b")
    refused(answer, 422, "label.host")


def test_a_refused_bulk_body_ends_its_connection_and_says_so(client: Client) -> None:
    answer = client.as_nobody().post("/api/v1/alerts/batch", data=b"x" * 200_000)
    refused(answer, 401)
    assert answer.headers["Connection"] == "close"
