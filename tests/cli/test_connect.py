"""Which server is asked, as whom, and what is said when that can't be."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from app.cli.connect import LOCAL_TOKEN_SECONDS, resolved_settings, sign_token
from tests.cli.conftest import Tocsin
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import PASSWORD, System


@pytest.fixture
def nobody_listens() -> Iterator[str]:
    """A URL of a port that is taken and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_on_its_machine_a_command_needs_no_login(here: Tocsin) -> None:
    assert here("webhook", "list").code == 0


def test_the_token_it_signs_is_an_admins_and_lasts_two_minutes(
    here: Tocsin, client: Client
) -> None:
    token = sign_token(resolved_settings(), LOCAL_TOKEN_SECONDS)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 120
    me = client.with_token(token).get("/api/v1/auth/me").json()
    assert (me["name"], me["role"]) == ("admin", "admin")


def test_a_server_elsewhere_needs_a_token_and_gets_no_local_one(
    here: Tocsin, receiver: Receiver
) -> None:
    """Whoever is asked by --url must never see the token of this machine's admin."""
    answer = here("webhook", "list", "--url", receiver.url(""))
    assert answer.code == 2
    assert "TOCSIN_TOKEN" in answer.err
    assert receiver.probes("/api/v1/webhooks") == 0


def test_no_redirect_takes_the_token_elsewhere(tocsin: Tocsin, receiver: Receiver) -> None:
    receiver.plan(
        "/api/v1/webhooks?limit=100", Answer(302, {"location": receiver.url("/elsewhere")})
    )
    answer = tocsin("webhook", "list", "--url", receiver.url(""), "--token", "secret")
    assert answer.code == 1
    assert receiver.probes("/elsewhere") == 0


def test_from_another_machine_with_an_api_key(
    tocsin: Tocsin, client: Client, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = client.post("/api/v1/api-keys", json={"name": "ops", "role": "viewer"}).json()
    monkeypatch.setenv("TOCSIN_URL", f"{system.url}/api/v1/")
    monkeypatch.setenv("TOCSIN_API_KEY", made["key"])

    assert tocsin("webhook", "list", "--json").json == []
    refused = tocsin("webhook", "add", "x", "http://127.0.0.1:9/hook")
    assert refused.code == 4
    assert "needs the role admin" in refused.err


def test_a_wrong_token(tocsin: Tocsin, system: System) -> None:
    answer = tocsin("webhook", "list", "--url", system.url, "--token", "nonsense")
    assert answer.code == 4
    assert "TOCSIN_TOKEN" in answer.err


def test_nothing_runs_here(tocsin: Tocsin) -> None:
    answer = tocsin("webhook", "list")
    assert answer.code == 3
    assert "make run" in answer.err


def test_nobody_listens(tocsin: Tocsin, nobody_listens: str) -> None:
    answer = tocsin("webhook", "list", "--url", nobody_listens, "--token", "x")
    assert answer.code == 3
    assert "does not answer" in answer.err


def test_something_else_listens(tocsin: Tocsin, receiver: Receiver) -> None:
    receiver.plan("/api/v1/webhooks?limit=100", Answer(200, body=b"<html>"))
    answer = tocsin("webhook", "list", "--url", receiver.url(""), "--token", "x")
    assert answer.code == 3
    assert "Is that its address?" in answer.err


def test_what_is_no_url(tocsin: Tocsin) -> None:
    assert tocsin("webhook", "list", "--url", "ftp://x", "--token", "x").code == 2


def test_a_route_that_the_server_does_not_have(tocsin: Tocsin, receiver: Receiver) -> None:
    receiver.plan("/api/v1/jobs?limit=100", Answer(404, body=b'{"detail": "Not found."}'))
    assert tocsin("jobs", "list", "--url", receiver.url(""), "--token", "x").code == 5


def test_a_rate_limit_is_waited_for(tocsin: Tocsin, receiver: Receiver) -> None:
    receiver.plan(
        "/api/v1/webhooks?limit=100",
        Answer(429, {"retry-after": "0"}),
        Answer(200, body=b'{"items": [], "total": 0, "next_cursor": null}'),
    )
    answer = tocsin("webhook", "list", "--url", receiver.url(""), "--token", "x")
    assert answer.code == 0
    assert "rate limit" in answer.err


def test_settings_of_the_environment_win_over_what_runs(
    here: Tocsin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names a database means that one; wrong settings are all listed."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere:5432/else")
    answer = here("webhook", "list")
    assert answer.code == 2
    assert "REDIS_URL" in answer.err
    assert "JWT_SECRET_KEY" in answer.err


def test_a_password_with_anything_in_it_is_read_back(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher writes its settings for a shell; so are they read."""
    from app.launcher import _as_shell

    password = """it's "odd" $HOME `x` \\ %s ;# = \n two lines"""
    settings = resolved_with(system, monkeypatch).model_copy(update={"admin_password": password})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.env").write_text(_as_shell(settings))
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert resolved_settings() == settings
    assert settings.admin_password != PASSWORD


def resolved_with(system: System, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("DATA_DIR", str(system.data_dir))
    return resolved_settings()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_is_not_ours_to_read(tocsin: Tocsin, tmp_path: Path) -> None:
    settings = tmp_path / ".data" / "run" / "settings.env"
    settings.parent.mkdir(parents=True)
    settings.touch(mode=0)
    answer = tocsin("webhook", "list")
    assert answer.code == 4
    assert "not yours to read" in answer.err
