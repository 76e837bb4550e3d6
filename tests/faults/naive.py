"""What one would write at home: a Celery task for each message, with the broker as the queue.

All that the manuals advise for a task that must not be lost is on: late acknowledgement, rejection
when its process is lost, a prefetch of one, retries with a backoff.
"""

import base64
import functools
import hashlib
import hmac
import os
import time
from typing import Any

import requests
from celery import Celery

QUEUE = "alerts"
# As long as Tocsin's lease: what an hour's default would hide behind "not yet" shows in minutes.
VISIBILITY_SECONDS = 10
TIMEOUT_SECONDS = 5

celery = Celery("naive", broker=os.environ.get("NAIVE_BROKER_URL"))
celery.conf.update(
    task_ignore_result=True,
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS},
)
RETRY: dict[str, Any] = {
    "autoretry_for": (requests.RequestException,),
    "retry_backoff": 1,
    "retry_backoff_max": 2,
    "max_retries": 19,
}


@functools.cache
def http() -> requests.Session:
    """This worker process's session: made at its first task, so after the fork."""
    return requests.Session()


@celery.task(name="naive.deliver", **RETRY)
def deliver(url: str, secret: str, message_id: str, body: str) -> None:
    timestamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.{body}".encode()
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
