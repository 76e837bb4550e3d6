"""Users, tokens, jobs, baselines, redrives and the cache."""

import io
import subprocess
import sys
import uuid

import pytest

import beat_schedule
from tests.cli.conftest import Tocsin
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver
from tests.harness.system import ROOT, System, clean_environment
from tests.harness.waiting import eventually


def feed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_user_and_new_passwords(
    here: Tocsin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"Ada-{uuid.uuid4().hex}"  # users outlive a test
    made = here("user", "add", name, "--role", "operator", "--generate", "--json").json
    assert client.as_nobody().login(name.lower(), made["password"])
    assert here("user", "add", name.lower(), "--generate").code == 1
    assert "operator" in here("user", "list").out

    for how in ([], ["--direct"]):
        password = f"a new pass phrase {how}"
        feed(monkeypatch, f"{password}\n")
        changed = here("user", "passwd", name.upper(), "--password-stdin", *how)
        assert changed.code == 0, changed.err
        assert password not in changed.out + changed.err
        assert client.as_nobody().login(name.lower(), password)
        assert here("user", "passwd", "nobody", "--generate", *how).code == 5


def test_nobody_can_be_asked_for_a_password(here: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "")
    answer = here("user", "passwd", "admin")
    assert answer.code == 2
    assert "--password-stdin" in answer.err


def test_direct_is_not_for_another_server(here: Tocsin) -> None:
    assert here("user", "passwd", "x", "--direct", "--generate", "--url", "http://x").code == 2


def test_a_token_and_nothing_else(here: Tocsin, client: Client) -> None:
    token = here("token").out.strip()
    assert client.with_token(token).get("/api/v1/auth/me").json()["role"] == "admin"


def test_a_token_from_elsewhere(
    tocsin: Tocsin, client: Client, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, "correct horse battery\n")
    arguments = ("token", "--url", system.url, "--username", "admin", "--password-stdin")
    token = tocsin(*arguments).out.strip()
    assert client.with_token(token).get("/api/v1/auth/me").status_code == 200
    assert tocsin("token", "--url", system.url).code == 2

    key = tocsin(
        "token", "--url", system.url, "--token", token,
        "--key", "nightly", "--role", "viewer", "--expires-in", "1d", "--json",
    ).json  # fmt: skip
    assert client.with_token(key["key"]).get("/api/v1/auth/me").json()["role"] == "viewer"
    assert key["expires_at"] is not None


def test_jobs(here: Tocsin) -> None:
    listed = here("jobs", "--json")
    assert [one["name"] for one in listed.json] == list(beat_schedule.JOBS)
    ran = here("jobs", "run", "metrics-roll", "--json")
    assert (ran.code, ran.json["status"]) == (0, "succeeded")
    assert str(ran.json["id"]) in here("jobs", "history", "metrics-roll").out
    assert here("jobs", "run", "no-such-job").code == 5


def test_baselines_are_recalculated(here: Tocsin) -> None:
    ran = here("baseline", "recalc", "--json")
    assert (ran.code, ran.json["job_name"]) == (0, "baseline-recalc")
    assert here("baseline", "list").code == 0


def test_what_failed_is_redriven(here: Tocsin, client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/later"), name="later")
    receiver.plan("/later", Answer(400))
    assert here("alert", "send", "x", "--wait").code == 1
    receiver.plan("/later", Answer(204))

    preview = here("redrive", "--webhook", "later", "--dry-run", "--json")
    assert preview.json["total"] == 1
    assert "1 delivery matches" in here("redrive", "--dry-run").out
    unasked = here("redrive", "--webhook", "later")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert (
        here("redrive", "--since", "1h", "--severity", "info", "--dry-run", "--json").json["total"]
        == 0
    )

    done = here("redrive", "--webhook", "later", "--yes", "--json")
    assert (done.code, done.json["status"], done.json["requeued"]) == (0, "finished", 1)
    eventually(lambda: len(receiver.messages("/later")) == 2, what="the message once more")
    first, again = receiver.messages("/later")
    assert first.id == again.id


def test_cache(here: Tocsin, client: Client) -> None:
    """A server that has no such routes yet is said to be older."""
    there = client.get("/api/v1/cache/stats").status_code == 200
    for command in ("stats", "warm"):
        answer = here("cache", command)
        assert answer.code == (0 if there else 5)
        assert ("older Tocsin" in answer.err) is not there


def test_cache_as_the_contract_has_it(tocsin: Tocsin, receiver: Receiver) -> None:
    receiver.plan("/api/v1/cache/stats", Answer(200, body=b'{"hit_rate": 0.75, "l1": {"hits": 3}}'))
    receiver.plan("/api/v1/cache/warm", Answer(200, body=b'{"entries": 7, "duration_ms": 1.5}'))
    there = ("--url", receiver.url(""), "--token", "x")
    shown = tocsin("cache", "stats", *there).out
    assert "75.0%" in shown
    assert "l1 hits" in shown
    assert "7 entries in 2 ms" in tocsin("cache", "warm", *there).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tocsin: Tocsin, shell: str) -> None:
    answer = tocsin("completion", shell)
    if answer.code == 1:
        pytest.skip(answer.err)  # click wants to know the version of a bash that is there
    assert "_TOCSIN_COMPLETE" in answer.out


def test_what_completion_offers() -> None:
    """As the shell asks for it: in a process of its own, without any server."""
    environment = clean_environment(
        {"_TOCSIN_COMPLETE": "bash_complete", "COMP_WORDS": "tocsin webhook ", "COMP_CWORD": "2"}
    )
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    offered = {line.partition(",")[2] for line in ended.stdout.splitlines()}
    assert offered == {"add", "list", "check", "test", "show"}, ended.stderr


def test_every_command_has_help(tocsin: Tocsin) -> None:
    from app.cli import COMMANDS

    whole = tocsin("--help").out
    for name in COMMANDS:
        answer = tocsin(name, "--help")
        assert answer.code == 0
        assert name in whole
    assert "Exit codes" in whole
