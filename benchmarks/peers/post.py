"""How the peers send: `requests` with a session, and the signature that Tocsin makes."""

import base64
import functools
import hashlib
import hmac
import time

import requests

TIMEOUT_SECONDS = 15


@functools.cache
def http() -> requests.Session:
    """This process's session: made at its first message, so after the fork."""
    return requests.Session()


def post(url: str, secret: str, message_id: str, body: str) -> None:
    """Raises requests.RequestException for whatever is not a 2xx."""
    timestamp = str(int(time.time()))
    signed = f"{message_id}.{timestamp}.{body}".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    answer = http().post(
        url,
        data=body.encode(),
        headers={
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        },
        timeout=TIMEOUT_SECONDS,
        allow_redirects=False,
    )
    answer.raise_for_status()
