"""What a webhook would be sent: a message as its template makes it, and nothing is sent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.orm import Session

from app.adapters.cipher import Cipher
from app.domain.alerts import EventType, message_body
from app.domain.templates import SAMPLES, Rendered, Template, render
from app.services.alerts import get_alert
from app.services.telling import alert_data
from app.services.templates import read_template
from app.services.webhooks import get_row


def preview(
    session: Session,
    now: datetime,
    cipher: Cipher,
    webhook_id: int,
    event_type: EventType,
    *,
    template: Template | None = None,
    alert_id: int | None = None,
) -> Rendered:
    """By the webhook's own template, or by another; of an alert, or of one made up for it."""
    row = get_row(session, webhook_id)
    body: str | bytes
    if event_type is EventType.PING:
        body = message_body(event_type, now, {"webhook_id": row.id, "name": row.name})
    elif alert_id is not None:
        body = message_body(event_type, now, alert_data(get_alert(session, alert_id)))
    else:
        body = orjson.dumps(_sample(event_type))
    message = body if isinstance(body, bytes) else body.encode()
    return render(template or read_template(cipher, row), message)


def _sample(event_type: EventType) -> Mapping[str, Any]:
    return next(one for one in SAMPLES if one["type"] == event_type)
