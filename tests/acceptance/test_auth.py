"""Who may come in: signing in and out, tokens, users, keys for machines, other origins."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests

from tests.acceptance.checks import PASSWORD, at_once, ids, new_user, page, refused, signed_in
from tests.harness.client import Client
from tests.harness.system import PASSWORD as ADMINS_PASSWORD
from tests.harness.system import System
from tests.harness.waiting import eventually

AUTH = "/api/v1/auth"
USERS = "/api/v1/users"
API_KEYS = "/api/v1/api-keys"
WEBHOOKS = "/api/v1/webhooks"
ALERTS = "/api/v1/alerts"
ALERT = {"title": "Disk almost full", "severity": "critical"}


def log_in(client: Client, username: str, password: str) -> requests.Response:
    return client.as_nobody().post(
        f"{AUTH}/login", json={"username": username, "password": password}
    )


def tokens_of(client: Client, username: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = log_in(client, username, password)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refresh(client: Client, refresh_token: str) -> requests.Response:
    return client.as_nobody().post(f"{AUTH}/refresh", json={"refresh_token": refresh_token})


def is_let_in(client: Client) -> bool:
    answer = client.get(f"{AUTH}/me")
    if answer.status_code == 200:
        return True
    refused(answer, 401)
    return False


def make_key(client: Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(API_KEYS, json={"name": "nightly import"} | fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


# --- Signing in and out ------------------------------------------------------------------


def test_signing_in_gives_tokens_for_a_quarter_of_an_hour(admin: Client) -> None:
    tokens = tokens_of(admin, "admin", ADMINS_PASSWORD)
    assert set(tokens) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 900
    me = admin.with_token(tokens["access_token"]).get(f"{AUTH}/me").json()
    assert me == {"kind": "user", "id": me["id"], "name": "admin", "role": "admin"}


def test_a_name_may_be_written_in_any_case(admin: Client) -> None:
    user = new_user(admin, "viewer", username="Ada-Case")
    assert user["username"] == "ada-case"
    assert tokens_of(admin, "ADA-case")["access_token"]


def test_wrong_credentials_all_look_the_same(admin: Client) -> None:
    user = new_user(admin, "viewer")
    asleep = new_user(admin, "viewer", is_active=False)
    said = {
        refused(log_in(admin, name, password), 401)["detail"]
        for name, password in (
            (user["username"], "wrong pass phrase"),
            (user["username"], PASSWORD + " "),
            (user["username"], PASSWORD.upper()),
            ("nobody-of-this-name", PASSWORD),
            (asleep["username"], PASSWORD),
        )
    }
    assert len(said) == 1


def test_a_refresh_gives_new_tokens_once(admin: Client) -> None:
    user = new_user(admin, "operator")
    first = tokens_of(admin, user["username"])
    answer = refresh(admin, first["refresh_token"])
    assert answer.status_code == 200, answer.text
    second = answer.json()
    assert second["access_token"] != first["access_token"]
    assert is_let_in(admin.with_token(second["access_token"]))
    assert is_let_in(admin.with_token(first["access_token"]))  # until it expires
    assert refresh(admin, second["refresh_token"]).status_code == 200


def test_a_refresh_token_that_is_used_again_ends_the_login(admin: Client) -> None:
    """It is in two hands, and nobody knows which of them is the thief's."""
    user = new_user(admin, "operator")
    other = tokens_of(admin, user["username"])
    first = tokens_of(admin, user["username"])
    second = refresh(admin, first["refresh_token"]).json()
    refused(refresh(admin, first["refresh_token"]), 401)
    refused(refresh(admin, second["refresh_token"]), 401)
    for token in (first["access_token"], second["access_token"]):
        assert not is_let_in(admin.with_token(token))
    # His other logins are not this one.
    assert is_let_in(admin.with_token(other["access_token"]))


def test_a_refresh_token_may_be_the_bearer(admin: Client) -> None:
    tokens = tokens_of(admin, new_user(admin, "viewer")["username"])
    answer = admin.with_token(tokens["refresh_token"]).post(f"{AUTH}/refresh")
    assert answer.status_code == 200, answer.text
    refused(admin.with_token(tokens["refresh_token"]).post(f"{AUTH}/refresh"), 401)


def test_nothing_but_a_refresh_token_refreshes(admin: Client) -> None:
    tokens = tokens_of(admin, new_user(admin, "viewer")["username"])
    key = make_key(admin)["key"]
    wrong: list[Any] = [tokens["access_token"], key, "garbage", "", None, 5, {}]
    for token in wrong:
        answer = admin.as_nobody().post(f"{AUTH}/refresh", json={"refresh_token": token})
        refused(answer, 401)
    refused(admin.as_nobody().post(f"{AUTH}/refresh"), 401)
    refused(admin.with_token(tokens["access_token"]).post(f"{AUTH}/refresh"), 401)


def test_of_many_refreshes_at_once_one_counts(admin: Client) -> None:
    """A stolen refresh token can't be spent beside its owner."""
    tokens = tokens_of(admin, new_user(admin, "viewer")["username"])
    answers = at_once(
        admin, 8, lambda own, _number: refresh(own, tokens["refresh_token"]).status_code
    )
    assert sorted(answers) == [200] + [401] * 7


def test_signing_out_ends_every_token_of_that_login(admin: Client) -> None:
    user = new_user(admin, "viewer")
    first, other = tokens_of(admin, user["username"]), tokens_of(admin, user["username"])
    second = refresh(admin, first["refresh_token"]).json()
    answer = admin.with_token(second["access_token"]).post(f"{AUTH}/logout")
    assert (answer.status_code, answer.content) == (204, b"")
    for tokens in (first, second):
        assert not is_let_in(admin.with_token(tokens["access_token"]))
        refused(refresh(admin, tokens["refresh_token"]), 401)
    refused(admin.with_token(second["access_token"]).post(f"{AUTH}/logout"), 401)
    # Another login of the same user goes on.
    assert is_let_in(admin.with_token(other["access_token"]))
    assert refresh(admin, other["refresh_token"]).status_code == 200


# --- Tokens in URLs, and logs ------------------------------------------------------------


def test_a_token_may_be_in_the_query(client: Client) -> None:
    tokens = tokens_of(client, new_user(client, "viewer")["username"])
    key = make_key(client, role="viewer")["key"]
    for token in (tokens["access_token"], key):
        nobody = client.as_nobody()
        assert nobody.get(f"{AUTH}/me", params={"token": token}).status_code == 200
        assert nobody.get(ALERTS, params={"limit": "1", "token": token}).status_code == 200
        refused(nobody.post(ALERTS, params={"token": token}, json=ALERT), 403)


def test_no_secret_is_in_the_logs(client: Client, system: System) -> None:
    user = new_user(client, "viewer", password="a pass phrase not to be logged")
    tokens = tokens_of(client, user["username"], "a pass phrase not to be logged")
    key = make_key(client)["key"]
    webhook = client.make_webhook(
        "http://127.0.0.1:9000/hook", is_active=False, headers={"X-Key": "receivers-own-key"}
    )
    nobody = client.as_nobody()
    for number, token in enumerate((tokens["access_token"], key, "almost-a-token")):
        for path in (f"{AUTH}/me", "/nowhere", f"{ALERTS}?q=x"):
            joint = "&" if "?" in path else "?"
            named = {"X-Request-ID": f"in-the-query-{number}"}
            nobody.get(f"{path}{joint}token={token}&limit=1", headers=named)
            nobody.get(f"{path}{joint}TOKEN={token}", headers=named)
        nobody.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})
    refresh(client, tokens["refresh_token"])
    client.post(f"{WEBHOOKS}/{webhook['id']}/test")
    client.get("/nowhere", headers={"X-Request-ID": "the-last-of-this-test"})

    def read() -> str:
        text = (system.data_dir / "logs" / "web.log").read_text()
        return text if "the-last-of-this-test" in text else ""

    logged = eventually(read, what="the last request in the log")
    lines = [json.loads(line) for line in logged.splitlines() if "in-the-query-" in line]
    assert len(lines) == 18  # else nothing below would mean much
    assert all("oken=[redacted]" in line["path"].replace("OKEN", "oken") for line in lines)
    everything = logged + "".join(
        path.read_text(errors="replace") for path in (system.data_dir / "logs").glob("*.log")
    )
    for secret in (
        tokens["access_token"],
        tokens["refresh_token"],
        tokens["access_token"].split(".")[2],
        key,
        "almost-a-token",
        "a pass phrase not to be logged",
        ADMINS_PASSWORD,
        "receivers-own-key",
        webhook["secret"],
        system.settings["JWT_SECRET_KEY"],
        system.settings["ENCRYPTION_KEYS"],
    ):
        assert secret not in everything, secret[:8]


def test_a_log_line_says_who_did_what(admin: Client, system: System) -> None:
    operator = signed_in(admin, "operator")
    name = operator.get(f"{AUTH}/me").json()["name"]
    operator.get(f"{ALERTS}?limit=1", headers={"X-Request-ID": "who-did-what"})

    def found() -> list[dict[str, Any]]:
        lines = (system.data_dir / "logs" / "web.log").read_text().splitlines()
        return [json.loads(line) for line in lines if "who-did-what" in line]

    (line,) = eventually(found, what="the log line")
    expected = {
        "action": "request",
        "method": "GET",
        "path": f"{ALERTS}?limit=1",
        "status": 200,
        "user": name,
    }
    assert line | expected == line
    assert line["duration_ms"] > 0


# --- Users -------------------------------------------------------------------------------


def test_users_are_made_found_changed_and_removed(client: Client) -> None:
    answer = client.post(USERS, json={"username": "grace", "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert set(made) == {"id", "username", "role", "is_active", "created_at", "updated_at"}
    assert (made["username"], made["role"], made["is_active"]) == ("grace", "viewer", True)
    path = f"{USERS}/{made['id']}"
    assert client.get(path).json() == made
    assert page(client.get(USERS))["items"][0] == made
    refused(client.post(USERS, json={"username": "GRACE", "password": PASSWORD}), 409)

    changed = client.patch(path, json={"role": "operator"}).json()
    assert changed == made | {"role": "operator", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > made["updated_at"]
    assert client.patch(path, json={"password": "another pass phrase"}).status_code == 200
    refused(log_in(client, "grace", PASSWORD), 401)
    tokens = tokens_of(client, "grace", "another pass phrase")

    answer = client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(client.get(path), 404)
    refused(client.patch(path, json={"role": "viewer"}), 404)
    refused(client.delete(path), 404)
    refused(log_in(client, "grace", "another pass phrase"), 401)
    assert not is_let_in(client.with_token(tokens["access_token"]))
    # The name is free again, and the tokens of who had it before open nothing.
    again = new_user(client, "admin", username="grace")
    assert again["id"] != made["id"]
    assert not is_let_in(client.with_token(tokens["access_token"]))
    assert client.delete(f"{USERS}/{again['id']}").status_code == 204


def test_passwords_are_kept_as_argon2id(admin: Client, system: System) -> None:
    user = new_user(admin, "viewer")
    with system.sql() as connection:
        (kept,) = connection.execute(
            "SELECT password_hash FROM pggit.users WHERE id = %s", [user["id"]]
        ).fetchall()
    assert str(kept[0]).startswith("$argon2id$")
    assert PASSWORD not in str(kept[0])


def test_of_many_users_of_one_name_at_once_one_is_made(admin: Client) -> None:
    body = {"username": "one-of-many", "password": PASSWORD}
    answers = at_once(admin, 6, lambda own, _number: own.post(USERS, json=body).status_code)
    assert sorted(answers) == [201] + [409] * 5


def test_a_user_made_inactive_is_out_at_once(admin: Client) -> None:
    user = new_user(admin, "operator")
    tokens = tokens_of(admin, user["username"])
    person = admin.with_token(tokens["access_token"])
    assert is_let_in(person)
    admin.patch(f"{USERS}/{user['id']}", json={"is_active": False})
    assert not is_let_in(person)
    refused(refresh(admin, tokens["refresh_token"]), 401)
    refused(log_in(admin, user["username"], PASSWORD), 401)
    admin.patch(f"{USERS}/{user['id']}", json={"is_active": True})
    assert is_let_in(person)


def test_a_changed_role_counts_at_once(client: Client) -> None:
    """Whatever role the token was made with."""
    user = new_user(client, "viewer")
    person = client.with_token(tokens_of(client, user["username"])["access_token"])
    refused(person.post(ALERTS, json=ALERT), 403)
    client.patch(f"{USERS}/{user['id']}", json={"role": "operator"})
    assert person.post(ALERTS, json=ALERT).status_code == 201
    assert person.get(f"{AUTH}/me").json()["role"] == "operator"
    client.patch(f"{USERS}/{user['id']}", json={"role": "viewer"})
    refused(person.post(ALERTS, json=ALERT), 403)


@contextmanager
def no_admin_but(system: System, *names: str) -> Iterator[None]:
    """The other admins are inactive meanwhile. Afterwards all are as before, whatever happened."""
    with system.sql() as connection:
        admins = connection.execute(
            "UPDATE pggit.users SET is_active = (username = ANY(%s))"
            " WHERE role = 'admin' AND is_active RETURNING id",
            [list(names)],
        ).fetchall()
        try:
            yield
        finally:
            connection.execute(
                "UPDATE pggit.users SET is_active = true, role = 'admin' WHERE id = ANY(%s)",
                [[row[0] for row in admins]],
            )


def test_the_last_active_admin_stays(client: Client, system: System) -> None:
    me = client.get(f"{AUTH}/me").json()
    path = f"{USERS}/{me['id']}"
    with no_admin_but(system, "admin"):
        other = new_user(client, "admin", is_active=False)  # counts for nothing
        before = client.get(path).json()
        refused(client.patch(path, json={"role": "operator"}), 409)
        refused(client.patch(path, json={"is_active": False}), 409)
        refused(client.delete(path), 409)
        assert client.get(path).json() == before
        # With another one they may go; whoever is left then may not.
        client.patch(f"{USERS}/{other['id']}", json={"is_active": True})
        assert client.patch(path, json={"role": "admin"}).status_code == 200
        assert client.delete(f"{USERS}/{other['id']}").status_code == 204
        refused(client.delete(path), 409)


def test_two_admins_who_remove_each_other_leave_one(client: Client, system: System) -> None:
    """As often as it takes to meet; without an order of locks it is a deadlock."""
    pair = [new_user(client, "admin") for _ in range(2)]
    tokens = [tokens_of(client, user["username"])["access_token"] for user in pair]
    changes: list[dict[str, Any]] = [{"is_active": False}, {"role": "viewer"}] * 3
    for change in changes:

        def remove(own: Client, number: int, change: dict[str, Any] = change) -> int:
            person = own.with_token(tokens[number])
            return person.patch(f"{USERS}/{pair[1 - number]['id']}", json=change).status_code

        with no_admin_but(system, *(user["username"] for user in pair)):
            answers = at_once(client, 2, remove)
        # The second is refused: as the last admin, or since it is none any more.
        assert answers.count(200) == 1, answers
        assert set(answers) - {200} <= {409, 401, 403}, answers
    for user in pair:
        assert client.delete(f"{USERS}/{user['id']}").status_code == 204


# --- Keys for machines -------------------------------------------------------------------


def test_keys_are_made_shown_once_used_and_deleted(client: Client, system: System) -> None:
    made = make_key(client)
    key = made.pop("key")
    assert key.startswith("tsk_")
    assert len(key) > 40
    assert made == {
        "id": made["id"],
        "name": "nightly import",
        "prefix": made["prefix"],
        "role": "operator",
        "created_at": made["created_at"],
        "last_used_at": None,
        "expires_at": None,
    }
    assert key.startswith(made["prefix"])
    listed = client.get(API_KEYS)
    assert page(listed)["items"] == [made]
    assert key not in listed.text

    machine = client.with_token(key)
    assert machine.get(f"{AUTH}/me").json() == {
        "kind": "api_key",
        "id": made["id"],
        "name": "nightly import",
        "role": "operator",
    }
    alert = machine.raise_alert()
    known = machine.post(f"{ALERTS}/{alert['id']}/acknowledge").json()
    assert known["acknowledged_by"] == "nightly import"
    refused(machine.post(WEBHOOKS, json={}), 403)
    refused(machine.post(f"{AUTH}/logout"), 409)
    assert page(client.get(API_KEYS))["items"][0]["last_used_at"] > made["created_at"]
    with system.sql() as connection:
        (row,) = connection.execute("SELECT k::text FROM pggit.api_keys k").fetchall()
    secret_part = key.removeprefix(made["prefix"])
    for form in (secret_part, secret_part.encode().hex()):
        assert form not in str(row[0])

    answer = client.delete(f"{API_KEYS}/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not is_let_in(machine)
    refused(client.delete(f"{API_KEYS}/{made['id']}"), 404)
    assert ids(client.get(API_KEYS)) == []


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_a_key_has_a_role(client: Client, role: str) -> None:
    machine = client.with_token(make_key(client, role=role)["key"])
    assert machine.get(ALERTS).status_code == 200
    assert machine.post(ALERTS, json=ALERT).status_code == (403 if role == "viewer" else 201)
    assert machine.get(API_KEYS).status_code == (200 if role == "admin" else 403)


def test_a_key_that_was_touched_is_none(admin: Client) -> None:
    key = make_key(admin)["key"]
    for wrong in (key[:-1], key + "a", key.swapcase(), key[4:], "tsk_"):
        assert not is_let_in(admin.with_token(wrong))
    assert is_let_in(admin.with_token(key))


def test_a_key_expires(client: Client, system: System) -> None:
    now = datetime.now(UTC)
    tomorrow = make_key(client, expires_at=(now + timedelta(days=1)).isoformat())
    assert datetime.fromisoformat(tomorrow["expires_at"]) == now + timedelta(days=1)
    yesterday = make_key(client, expires_at=(now - timedelta(days=1)).isoformat())
    assert is_let_in(client.with_token(tomorrow["key"]))
    assert not is_let_in(client.with_token(yesterday["key"]))
    with system.sql() as connection:  # and then it is tomorrow
        connection.execute("UPDATE pggit.api_keys SET expires_at = now()")
    assert not is_let_in(client.with_token(tomorrow["key"]))


# --- Other origins -----------------------------------------------------------------------

OURS = "http://localhost:3000"  # CORS_ORIGINS, as it is unless somebody sets it
PREFLIGHT = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
}


@pytest.mark.parametrize("path", [WEBHOOKS, f"{WEBHOOKS}/1", ALERTS, f"{AUTH}/login"])
def test_a_preflight_from_an_origin_that_is_allowed(admin: Client, path: str) -> None:
    nobody = admin.as_nobody()  # a browser sends no token with it
    answer = nobody.request("OPTIONS", path, headers=PREFLIGHT | {"Origin": OURS})
    assert 200 <= answer.status_code < 300
    assert answer.headers["access-control-allow-origin"] == OURS
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    allowed = {
        name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")
    }
    assert {"authorization", "content-type", "idempotency-key"} <= allowed


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost:3000",
        "http://localhost:3001",
        "http://localhost:3000.evil.example",
        "http://evil.example/http://localhost:3000",
        "http://localhost:30000",
        "null",
    ],
)
def test_no_other_origin_is_allowed(admin: Client, origin: str) -> None:
    for answer in (
        admin.as_nobody().request("OPTIONS", WEBHOOKS, headers=PREFLIGHT | {"Origin": origin}),
        admin.get(WEBHOOKS, headers={"Origin": origin}),
        admin.get("/nowhere", headers={"Origin": origin}),
    ):
        assert answer.headers.get("access-control-allow-origin") not in {origin, "*"}
        assert "access-control-allow-methods" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


def test_answers_to_an_allowed_origin_can_be_read(admin: Client) -> None:
    for path, status_code in ((ALERTS, 200), ("/api/v1/nowhere", 404)):
        answer = admin.get(path, headers={"Origin": OURS})
        assert answer.status_code == status_code
        assert answer.headers["access-control-allow-origin"] == OURS
        shown = answer.headers["access-control-expose-headers"].lower()
        assert {"x-request-id", "retry-after"} <= set(shown.replace(" ", "").split(","))
    refused(admin.as_nobody().get(ALERTS, headers={"Origin": OURS}), 401)


def test_the_first_admins_password_is_kept_from_others(system: System) -> None:
    """What the launcher wrote for command-line tools is its owner's alone."""
    for path in (
        system.data_dir / "run" / "settings.env",
        *(system.data_dir / "secrets").iterdir(),
    ):
        assert os.stat(path).st_mode & 0o077 == 0, path.name  # noqa: PTH116
