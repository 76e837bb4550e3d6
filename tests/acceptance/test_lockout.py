"""Logins that fail too often are refused unheard, whoever it is, and for a time."""

import pytest
import requests

from app.domain.lockout import OF_ADDRESS, OF_USER_AND_ADDRESS, WINDOW
from tests.acceptance.checks import PASSWORD, new_user, refused
from tests.harness.client import Client
from tests.harness.system import System

LOGIN = "/api/v1/auth/login"


def log_in(client: Client, username: str, password: str = PASSWORD) -> requests.Response:
    body = {"username": username, "password": password}
    return client.as_nobody().post(LOGIN, json=body)


def fail(client: Client, username: str) -> None:
    refused(log_in(client, username, "a wrong pass phrase"), 401)


def let_time_pass(system: System) -> None:
    with system.sql() as sql:
        sql.execute(
            "UPDATE pggit.failed_logins SET at = at - make_interval(secs => %s)",
            [WINDOW.total_seconds()],
        )


@pytest.mark.parametrize("is_known", [True, False])
def test_one_who_guesses_is_not_heard(client: Client, system: System, is_known: bool) -> None:
    """Not even with the right password; and a name that nobody has is treated alike."""
    name = new_user(client, "viewer")["username"] if is_known else "nobody-at-all"
    for _guess in range(OF_USER_AND_ADDRESS.failures):
        fail(client, name)

    answer = log_in(client, name.upper())
    refused(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= 16
    # Others are heard, and what was refused was not counted.
    assert log_in(client, new_user(client, "viewer")["username"]).status_code == 200
    with system.sql() as sql:
        counted = sql.execute("SELECT count(*) FROM pggit.failed_logins").fetchone()
    assert counted == (OF_USER_AND_ADDRESS.failures,)

    let_time_pass(system)
    assert log_in(client, name).status_code == (200 if is_known else 401)


def test_who_is_in_has_mistyped_nothing(client: Client) -> None:
    name = new_user(client, "viewer")["username"]
    for _time in range(2):
        for _guess in range(OF_USER_AND_ADDRESS.failures - 1):
            fail(client, name)
        assert log_in(client, name).status_code == 200


def test_one_password_for_many_names(client: Client, system: System) -> None:
    """From one address: each name by itself would never be counted out."""
    with system.sql() as sql:
        sql.execute(
            "INSERT INTO pggit.failed_logins (name_digest, address)"
            " SELECT int8send(n), '127.0.0.1' FROM generate_series(1, %s) AS n",
            [OF_ADDRESS.failures],
        )
    refused(log_in(client, new_user(client, "viewer")["username"]), 429)


def test_a_name_is_kept_as_a_digest(client: Client, system: System) -> None:
    """People type their password where the name belongs."""
    fail(client, "my-secret-password")
    with system.sql() as sql:
        kept = str(sql.execute("SELECT * FROM pggit.failed_logins").fetchall())
    assert "my-secret-password" not in kept
    assert b"my-secret-password".hex() not in kept
