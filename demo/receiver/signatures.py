"""Is a message what Tocsin signed? By the rules of Standard Webhooks, as a receiver has them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

TOLERANCE_SECONDS = 300


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """`secret` is `whsec_…`, `headers` are in lower case, `now` in seconds since 1970."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not stamp.isascii() or not stamp.isdigit():
        return False
    if abs(now - int(stamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    expected = hmac.digest(key, signed, hashlib.sha256)
    return any(
        hmac.compare_digest(expected, given)
        for one in headers.get("webhook-signature", "").split()
        if (given := _given(one)) is not None
    )


def _given(one: str) -> bytes | None:
    version, _, text = one.partition(",")
    if version != "v1":
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
