"""Our signatures and the stock library's of Standard Webhooks, each read by the other."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from app.domain.signing import SECRET_BYTES, format_secret, parse_secret, signature_header

KEY = b"k" * SECRET_BYTES
OTHER_KEY = b"o" * SECRET_BYTES
BODY = '{"type":"alert.firing","data":{"title":"Zażółć 🚨"}}'.encode()

keys = st.binary(min_size=24, max_size=64)


def headers(signature: str, at: datetime, message_id: str = "msg_1") -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def verifies(key: bytes, body: bytes, sent: dict[str, str]) -> bool:
    try:
        Webhook(format_secret(key)).verify(body, sent, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


@given(key=keys, message_id=st.text("abc_019.-", min_size=1), body=st.text(max_size=200))
def test_both_sign_alike(key: bytes, message_id: str, body: str) -> None:
    at = datetime.now(UTC)
    theirs = Webhook(format_secret(key)).sign(message_id, at, body)
    ours = signature_header([key], message_id, int(at.timestamp()), body.encode())
    assert ours == theirs
    assert verifies(key, body.encode(), headers(ours, at, message_id))


def test_what_was_changed_on_the_way_is_refused() -> None:
    at = datetime.now(UTC)
    sent = headers(signature_header([KEY], "msg_1", int(at.timestamp()), BODY), at)
    later = headers(sent["webhook-signature"], at + timedelta(seconds=1))
    assert verifies(KEY, BODY, sent)
    assert not verifies(KEY, BODY + b" ", sent)
    assert not verifies(KEY, BODY, sent | {"webhook-id": "msg_2"})
    assert not verifies(KEY, BODY, later)
    assert not verifies(OTHER_KEY, BODY, sent)


def test_during_a_rotation_each_secret_alone_verifies() -> None:
    at = datetime.now(UTC)
    signature = signature_header([KEY, OTHER_KEY], "msg_1", int(at.timestamp()), BODY)
    assert [part[:3] for part in signature.split(" ")] == ["v1,", "v1,"]
    for key in (KEY, OTHER_KEY):
        assert verifies(key, BODY, headers(signature, at))
    assert not verifies(b"n" * SECRET_BYTES, BODY, headers(signature, at))


def test_a_known_message_has_a_known_signature() -> None:
    """The example of the specification's own test suite."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = signature_header(
        [key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(keys)
def test_a_secret_keeps_its_key(key: bytes) -> None:
    secret = format_secret(key)
    assert secret.startswith("whsec_")
    assert parse_secret(secret) == key
    assert parse_secret(secret.removeprefix("whsec_")) == key


def test_rubbish_is_no_secret() -> None:
    with pytest.raises(ValueError):
        parse_secret("whsec_not base64")
