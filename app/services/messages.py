"""What is sent to a webhook: its address, its secrets, and the signed request."""

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.adapters.cipher import Cipher
from app.adapters.http_messages import Request
from app.domain.signing import parse_secret, signature_header
from app.domain.templates import RAW, Template, render
from app.services.templates import read_template
from models import Webhook

log = structlog.get_logger(__name__)

USER_AGENT = "Tocsin/0.1 (+Standard Webhooks)"
TARGETS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """What a delivery needs to know of a webhook, decrypted."""

    webhook_id: int
    version: datetime
    url: str
    headers: tuple[tuple[str, str], ...]
    key: bytes
    previous_key: bytes | None
    previous_key_until: datetime | None
    timeout_seconds: float
    schedule: tuple[int, ...]
    template: Template = RAW

    def live_keys(self, now: datetime) -> list[bytes]:
        """The newest first; after a rotation the old one signs too, until it expires."""
        if self.previous_key is None or self.previous_key_until is None:
            return [self.key]
        return [self.key] if now >= self.previous_key_until else [self.key, self.previous_key]


class Targets:
    """Decrypts webhooks, and keeps the ones used lately: decrypting costs more than signing."""

    def __init__(
        self, cipher: Cipher, default_timeout_seconds: float, default_schedule: tuple[int, ...]
    ) -> None:
        self._cipher = cipher
        self._default_timeout = default_timeout_seconds
        self._default_schedule = default_schedule
        self._kept: OrderedDict[int, Target] = OrderedDict()

    def load(self, session: Session, wanted: Iterable[tuple[int, datetime]]) -> dict[int, Target]:
        """Targets by webhook id, each at least as new as the version that is wanted."""
        versions = dict(wanted)
        stale = [
            webhook_id
            for webhook_id, version in versions.items()
            if webhook_id not in self._kept or self._kept[webhook_id].version != version
        ]
        if stale:
            for row in session.scalars(select(Webhook).where(Webhook.id.in_(stale))):
                self._kept[row.id] = self.target_of(row)
        targets = {webhook_id: self._kept[webhook_id] for webhook_id in versions}
        for webhook_id in versions:
            self._kept.move_to_end(webhook_id)
        while len(self._kept) > TARGETS_KEPT:
            self._kept.popitem(last=False)
        return targets

    def target_of(self, row: Webhook) -> Target:
        headers: dict[str, str] = (
            json.loads(self._cipher.decrypt(row.headers_encrypted)) if row.headers_encrypted else {}
        )
        previous = row.previous_secret_encrypted
        return Target(
            webhook_id=row.id,
            version=row.updated_at,
            url=row.url,
            headers=tuple(headers.items()),
            key=parse_secret(self._cipher.decrypt(row.secret_encrypted)),
            previous_key=parse_secret(self._cipher.decrypt(previous)) if previous else None,
            previous_key_until=row.previous_secret_expires_at,
            timeout_seconds=float(row.timeout_seconds or self._default_timeout),
            schedule=_schedule(row.retry_schedule_seconds, self._default_schedule),
            template=read_template(self._cipher, row),
        )


def _schedule(own: Sequence[int] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(own) if own else default


def signed_request(target: Target, message_id: str, body: bytes, now: datetime) -> Request:
    """The POST that a receiver gets, per Standard Webhooks; its body as the template makes it."""
    body, error = render(target.template, body)
    if error is not None:
        log.warning(
            "sent without its template",
            action="template_failed",
            webhook=target.webhook_id,
            message=message_id,
            error=error,
        )
    timestamp = int(now.timestamp())
    return Request(
        method="POST",
        url=target.url,
        headers=(
            ("content-type", "application/json"),
            ("user-agent", USER_AGENT),
            ("webhook-id", message_id),
            ("webhook-timestamp", str(timestamp)),
            (
                "webhook-signature",
                signature_header(target.live_keys(now), message_id, timestamp, body),
            ),
            *target.headers,
        ),
        body=body,
        timeout_seconds=target.timeout_seconds,
    )
