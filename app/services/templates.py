"""Templates of webhooks: kept encrypted, since they may hold somebody's key."""

import json
from collections.abc import Mapping
from typing import Any

from app.adapters.cipher import Cipher
from app.domain.templates import RAW, Shape, Template
from models import Webhook


def as_template(fields: Mapping[str, Any]) -> Template:
    """From what a client gave, which has passed the domain's `problems`."""
    return Template(Shape(fields["shape"]), fields.get("text"), fields.get("routing_key"))


def as_fields(template: Template) -> dict[str, str]:
    """What a client gives: a shape, and with some of them another field."""
    fields = {
        "shape": template.shape.value,
        "text": template.text,
        "routing_key": template.routing_key,
    }
    return {name: value for name, value in fields.items() if value is not None}


def read_template(cipher: Cipher, row: Webhook) -> Template:
    if row.template_encrypted is None:
        return RAW
    return as_template(json.loads(cipher.decrypt(row.template_encrypted)))


def write_template(cipher: Cipher, row: Webhook, template: Template) -> None:
    row.template_encrypted = (
        None if template == RAW else cipher.encrypt(json.dumps(as_fields(template)))
    )
