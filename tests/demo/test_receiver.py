"""The receiver: who signs is checked as the stock library does, and each path has its character."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from standardwebhooks import Webhook

from demo.receiver.__main__ import Receiver, server
from demo.receiver.characters import Away, Flaky, Limiting
from demo.receiver.signatures import TOLERANCE_SECONDS, is_genuine
from demo.secrets import Secrets

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "A" * 32
NOW = datetime(2026, 11, 28, 7, tzinfo=UTC)
BODY = '{"type":"alert.firing","data":{"title":"Größe"}}'


def signed(secret: str = SECRET, at: datetime = NOW) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", at, BODY),
    }


def test_it_takes_what_the_stock_library_signs() -> None:
    body, now = BODY.encode(), NOW.timestamp()
    headers = signed()
    assert is_genuine(SECRET, headers, body, now)
    rotated = f"v1,AAAA v2,xx {headers['webhook-signature']}"
    assert is_genuine(SECRET, headers | {"webhook-signature": rotated}, body, now)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": "now"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,no base64"},
        signed(OTHER),
    ],
)
def test_it_refuses_what_is_not_signed(change: dict[str, str]) -> None:
    assert not is_genuine(SECRET, signed() | change, BODY.encode(), NOW.timestamp())


def test_it_refuses_another_body_and_another_time() -> None:
    assert not is_genuine(SECRET, signed(), BODY.encode() + b" ", NOW.timestamp())
    late = NOW.timestamp() + TOLERANCE_SECONDS + 1
    assert not is_genuine(SECRET, signed(), BODY.encode(), late)


def test_characters_do_what_their_names_say() -> None:
    limiting = Limiting(most_messages=2, per_seconds=10)
    said = [limiting.message(at) for at in (0.0, 1.0, 2.5, 10.5)]
    assert [one.status for one in said] == [204, 204, 429, 204]
    assert said[2].headers == {"Retry-After": "8"}

    away = Away(down_seconds=120, up_seconds=240)
    begin = 1000.0  # whenever it is first asked
    said = [away.check(begin + at) for at in (0, 119, 121, 359, 361)]
    assert [one.status for one in said] == [None, None, 204, 204, None]
    assert away.message(begin + 365).status is None

    flaky = Flaky(0, 0)
    failed = sum(flaky.message(at).status == 502 for at in range(1000))
    assert 250 < failed < 350
    assert {flaky.check(at).status for at in range(100)} == {204}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    secrets = Secrets(tmp_path / "demo.json")
    secrets.keep("webhooks", "on-call-pager", SECRET)
    secrets.keep("webhooks", "old-pager", SECRET)
    with server(Receiver(Secrets(tmp_path / "demo.json")), 0) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def test_it_verifies_answers_and_counts(url: str) -> None:
    headers = signed(at=datetime.now(UTC))
    with requests.Session() as session:
        session.trust_env = False

        def post(name: str, given: dict[str, str]) -> int:
            return session.post(f"{url}/{name}", BODY.encode(), headers=given).status_code

        assert post("on-call-pager", headers) == 204
        assert post("on-call-pager", headers | {"webhook-id": "msg_2"}) == 401
        assert post("old-pager", headers) == 410
        assert post("nobody", headers) == 404
        assert post("team-chat", headers) == 503  # its secret is not known yet
        assert session.get(f"{url}/on-call-pager").status_code == 204
        with pytest.raises(requests.ConnectionError):
            session.get(f"{url}/eu-gateway")
        counts = session.get(url).json()["webhooks"]
    assert counts["on-call-pager"] == {
        "received": 2,
        "accepted": 1,
        "bad_signatures": 1,
        "checks": 1,
        "answers": {"204": 1, "401": 1},
    }
    assert counts["old-pager"]["answers"] == {"410": 1}


def test_secrets_are_closed_to_others_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    reader, writer = Secrets(path), Secrets(path)
    assert reader.webhook("pager") is None
    writer.keep("webhooks", "pager", SECRET)
    assert reader.webhook("pager") == SECRET
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {"webhooks": {"pager": SECRET}}
