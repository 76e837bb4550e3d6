"""Shapes of webhooks, their checks and what came of them."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.api.schemas.fields import Flag, Number, PageQuery, Text, Whole, moment, page_of
from app.domain.egress import EgressRefused, check_headers
from app.domain.health import HealthStatus
from app.domain.traffic import DisabledReason

HEALTH_STATUS = validate.OneOf([status.value for status in HealthStatus])


def _acceptable_headers(headers: dict[str, str]) -> None:
    try:
        check_headers(headers.items())
    except EgressRefused as refusal:
        raise ValidationError(str(refusal)) from None


class HealthCheckSchema(Schema):
    """How a webhook is checked."""

    method = fields.String(validate=validate.OneOf(["GET", "HEAD", "POST", "OPTIONS"]))
    expected_status = fields.List(
        Whole(100, 599),
        allow_none=True,
        validate=validate.Length(min=1, max=50),
        metadata={"description": "Answers that count as alive; null: any below 500."},
    )
    max_latency_ms = Whole(
        1, 120_000, allow_none=True, metadata={"description": "Slower answers degrade."}
    )
    failure_threshold = Whole(
        1, 100, metadata={"description": "So many failures in a row make it unavailable."}
    )
    recovery_threshold = Whole(
        1, 100, metadata={"description": "So many passes in a row make it healthy again."}
    )


CHECK_DEFAULTS: dict[str, Any] = {
    "method": "GET",
    "expected_status": None,
    "max_latency_ms": None,
    "failure_threshold": 3,
    "recovery_threshold": 2,
}
DEFAULTS: dict[str, Any] = {
    "description": None,
    "is_active": True,
    "health_check_interval_seconds": 300,
    "timeout_seconds": None,
    "retry_schedule_seconds": None,
    "headers": {},
    "max_in_flight": 16,
    "rate_limit_per_second": None,
    "disable_after_days": 5,
}


class WebhookChangeSchema(Schema):
    """Any of a webhook's fields; what is left out stays."""

    name = Text(200, 1, metadata={"example": "on-call"})
    url = Text(2048, 1, metadata={"example": "https://example.com/hooks/alerts"})
    description = Text(2000, allow_none=True)
    is_active = Flag(metadata={"description": "An inactive one is neither told nor checked."})
    health_check_interval_seconds = Whole(5, 86_400, metadata={"example": 300})
    timeout_seconds = Whole(
        1, 120, allow_none=True, metadata={"description": "null: REQUEST_TIMEOUT_SECONDS."}
    )
    retry_schedule_seconds = fields.List(
        Whole(0, 604_800),
        allow_none=True,
        validate=validate.Length(min=1, max=20),
        metadata={
            "description": "The delay before each attempt; null: RETRY_SCHEDULE_SECONDS.",
            "example": [0, 5, 300],
        },
    )
    headers = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        validate=_acceptable_headers,
        metadata={"description": "Sent with every message.", "example": {"x-team": "storage"}},
    )
    health_check = fields.Nested(HealthCheckSchema)
    max_in_flight = Whole(1, 500, metadata={"description": "At most so many messages at once."})
    rate_limit_per_second = Number(
        0.01,
        100_000,
        allow_none=True,
        metadata={"description": "At most so many messages a second; null: no limit."},
    )
    disable_after_days = Whole(
        1,
        365,
        allow_none=True,
        metadata={
            "description": "Made inactive after so many days without a success; null: never."
        },
    )


class WebhookCreateSchema(WebhookChangeSchema):
    """A webhook; only name and url must be given."""

    name = Text(200, 1, required=True, metadata={"example": "on-call"})
    url = Text(2048, 1, required=True, metadata={"example": "https://example.com/hooks/alerts"})


class WebhookSchema(Schema):
    id = fields.Integer()
    name = fields.String(metadata={"example": "on-call"})
    url = fields.String(metadata={"example": "https://example.com/hooks/alerts"})
    description = fields.String(allow_none=True)
    is_active = fields.Boolean()
    disabled_reason = fields.String(
        allow_none=True,
        metadata={
            "description": "Why Tocsin itself made it inactive.",
            "enum": [*(reason.value for reason in DisabledReason), None],
        },
    )
    health_check_interval_seconds = fields.Integer()
    timeout_seconds = fields.Integer(allow_none=True)
    retry_schedule_seconds = fields.List(fields.Integer(), allow_none=True)
    headers = fields.Dict(keys=fields.String(), values=fields.String())
    health_check = fields.Nested(HealthCheckSchema)
    max_in_flight = fields.Integer()
    rate_limit_per_second = fields.Float(allow_none=True)
    disable_after_days = fields.Integer(allow_none=True)
    health_status = fields.String(metadata={"enum": [status.value for status in HealthStatus]})
    created_at = moment()
    updated_at = moment()


class WebhookWithSecretSchema(WebhookSchema):
    secret = fields.String(
        metadata={"description": "Signs every message. Shown this once.", "example": "whsec_…"}
    )


class WebhookQuery(PageQuery):
    is_active = fields.Boolean()
    health_status = fields.String(validate=HEALTH_STATUS)


class WebhookHealthSchema(Schema):
    webhook_id = fields.Integer()
    health_status = fields.String()
    consecutive_failures = fields.Integer()
    latency_p50_ms = fields.Float(allow_none=True, metadata={"description": "Over 24 hours."})
    latency_p95_ms = fields.Float(allow_none=True)
    latency_p99_ms = fields.Float(allow_none=True)
    uptime_24h = fields.Float(
        allow_none=True, metadata={"description": "Part of the checks that passed, 0 to 1."}
    )
    uptime_7d = fields.Float(allow_none=True)
    uptime_30d = fields.Float(allow_none=True)
    last_check_at = moment(allow_none=True)
    next_check_at = moment()
    changed_at = moment(allow_none=True)
    certificate_expires_at = moment(allow_none=True)


class CheckSchema(Schema):
    webhook_id = fields.Integer()
    checked_at = moment()
    outcome = fields.String(metadata={"enum": ["passed", "slow", "failed"]})
    reason = fields.String(metadata={"example": "as_expected"})
    http_status = fields.Integer(allow_none=True)
    latency_ms = fields.Float(allow_none=True)
    error = fields.String(allow_none=True)
    health_status = fields.String(metadata={"description": "The status after this check."})


class HistoryQuery(PageQuery):
    since = moment()
    until = moment()


class PingSchema(Schema):
    message_id = fields.String()
    http_status = fields.Integer(allow_none=True)
    latency_ms = fields.Float()
    error = fields.String(allow_none=True)
    reason = fields.String(metadata={"example": "accepted"})
    body_excerpt = fields.String(allow_none=True)


class RotatedSecretSchema(Schema):
    secret = fields.String(metadata={"description": "The new secret. Shown this once."})
    previous_secret_expires_at = moment(
        metadata={"description": "Until then both secrets sign every message."}
    )


WebhookPage = page_of(WebhookSchema)
CheckPage = page_of(CheckSchema)
