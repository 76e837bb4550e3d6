"""Shapes of webhooks, their checks and what came of them."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.schemas.fields import MAX_ID, Flag, Number, PageQuery, Text, Whole, moment, page_of
from app.domain.alerts import EventType
from app.domain.egress import EgressRefused, check_headers
from app.domain.health import CheckDecision, HealthStatus
from app.domain.templates import Shape, Template, problems
from app.domain.templates.custom import MAX_SOURCE_CHARS
from app.domain.traffic import DisabledReason

HEALTH_STATUS = validate.OneOf([status.value for status in HealthStatus])


def _acceptable_headers(headers: dict[str, str]) -> None:
    try:
        check_headers(headers.items())
    except EgressRefused as refusal:
        raise ValidationError(str(refusal)) from None


def _whole_minutes(seconds: int) -> None:
    if seconds % 60:
        raise ValidationError("Must be a multiple of 60.")


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
    body_includes = Text(
        1000,
        1,
        allow_none=True,
        metadata={"description": "Must be in the first 16 KiB of the answer's body."},
    )
    body_excludes = Text(
        1000,
        1,
        allow_none=True,
        metadata={"description": "Must not be in the first 16 KiB of the answer's body."},
    )
    headers = fields.Dict(
        keys=Text(128, 1),
        values=Text(1024, allow_none=True),
        validate=validate.Length(max=20),
        metadata={
            "description": "Headers that the answer must have, each with its value; null: any.",
            "example": {"content-type": "application/json"},
        },
    )
    min_certificate_days = Whole(
        1,
        365,
        allow_none=True,
        metadata={"description": "A certificate good for fewer days is told of; null: never."},
    )
    flap_changes = Whole(
        2,
        100,
        allow_none=True,
        metadata={"description": "So many changes of health within the window are flapping."},
    )
    flap_window_seconds = Whole(
        60,
        604_800,
        allow_none=True,
        metadata={"description": "null: thirty checks, and no less than ten minutes."},
    )


CHECK_DEFAULTS: dict[str, Any] = {
    "method": "GET",
    "expected_status": None,
    "max_latency_ms": None,
    "failure_threshold": 3,
    "recovery_threshold": 2,
    "body_includes": None,
    "body_excludes": None,
    "headers": {},
    "min_certificate_days": 14,
    "flap_changes": 5,
    "flap_window_seconds": None,
}
DEFAULTS: dict[str, Any] = {
    "description": None,
    "is_active": True,
    "health_check_interval_seconds": 300,
    "timeout_seconds": None,
    "retry_schedule_seconds": None,
    "headers": {},
    "template": {"shape": "raw"},
    "max_in_flight": 16,
    "rate_limit_per_second": None,
    "disable_after_days": 5,
    "depends_on": [],
}


class TemplateSchema(Schema):
    """What messages look like: a shape, and for some of them one thing more."""

    shape = fields.String(
        required=True,
        validate=validate.OneOf([shape.value for shape in Shape]),
        metadata={"example": "slack"},
    )
    text = Text(
        MAX_SOURCE_CHARS,
        1,
        metadata={
            "description": "Of a custom one: a Jinja template that makes JSON.",
            "example": '{"text": "{{ summary }}"}',
        },
    )
    routing_key = Text(
        200, 1, metadata={"description": "PagerDuty's, of an Events API v2 integration."}
    )

    @validates_schema
    def _has_what_it_needs(self, data: dict[str, Any], **_: Any) -> None:
        found = problems(Template(Shape(data["shape"]), data.get("text"), data.get("routing_key")))
        if found:
            raise ValidationError(dict(found))


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
    template = fields.Nested(
        TemplateSchema, metadata={"description": "Replaces the body of messages, never a header."}
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
    depends_on = fields.List(
        Whole(1, MAX_ID),
        validate=validate.Length(max=20),
        metadata={
            "description": "Webhooks without which this one can't be judged: while one of them is"
            " unavailable, its health is unknown.",
            "example": [1],
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
    template = fields.Nested(TemplateSchema)
    health_check = fields.Nested(HealthCheckSchema)
    max_in_flight = fields.Integer()
    rate_limit_per_second = fields.Float(allow_none=True)
    disable_after_days = fields.Integer(allow_none=True)
    depends_on = fields.List(fields.Integer())
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
    certificate_days_left = fields.Integer(allow_none=True)
    failing_since = moment(
        allow_none=True, metadata={"description": "The first of the failed checks in a row."}
    )
    flapping_since = moment(allow_none=True)
    blocked_by = fields.Integer(
        allow_none=True,
        metadata={"description": "The unavailable webhook that keeps this one unknown."},
    )


class TimingsSchema(Schema):
    """The phases of a check in ms; null where nothing was dialled."""

    dns_ms = fields.Float(allow_none=True)
    connect_ms = fields.Float(allow_none=True)
    tls_ms = fields.Float(allow_none=True, metadata={"description": "0 without TLS."})
    first_byte_ms = fields.Float(
        allow_none=True, metadata={"description": "From the request to the answer's first byte."}
    )
    total_ms = fields.Float(allow_none=True)


class CheckSchema(Schema):
    webhook_id = fields.Integer()
    checked_at = moment()
    outcome = fields.String(metadata={"enum": ["passed", "slow", "failed"]})
    reason = fields.String(metadata={"example": "as_expected"})
    http_status = fields.Integer(allow_none=True)
    latency_ms = fields.Float(allow_none=True)
    error = fields.String(allow_none=True)
    health_status = fields.String(metadata={"description": "The status after this check."})
    timings = fields.Nested(TimingsSchema)
    decision = fields.String(
        allow_none=True,
        metadata={
            "description": "What the rules made of it, where there was something to decide.",
            "enum": [*(decision.value for decision in CheckDecision), None],
        },
    )
    confirms = fields.String(
        allow_none=True,
        metadata={"description": "Why it failed the first time, if it was made twice at once."},
    )
    in_maintenance = fields.Boolean(metadata={"description": "Such a check is left out of uptime."})


class HistoryQuery(PageQuery):
    since = moment()
    until = moment()


class TimelineQuery(Schema):
    since = moment(metadata={"description": "A day before the end, if left out."})
    until = moment(metadata={"description": "Now, if left out."})
    step = fields.Integer(
        load_default=300,
        validate=[validate.Range(60, 86_400), _whole_minutes],
        metadata={"description": "Seconds, a multiple of 60.", "example": 300},
    )


class TimelinePointSchema(Schema):
    """The checks of one step. Without any it is a gap: all but `at` and `checks` is null."""

    at = moment(metadata={"description": "The beginning of the step."})
    checks = fields.Integer()
    failed = fields.Integer(allow_none=True)
    slow = fields.Integer(allow_none=True)
    in_maintenance = fields.Integer(allow_none=True)
    uptime = fields.Float(allow_none=True)
    latency_mean_ms = fields.Float(allow_none=True)
    latency_min_ms = fields.Float(allow_none=True)
    latency_max_ms = fields.Float(allow_none=True)
    latency_p50_ms = fields.Float(allow_none=True)
    latency_p95_ms = fields.Float(allow_none=True)
    latency_p99_ms = fields.Float(allow_none=True)


class TimelineSchema(Schema):
    webhook_id = fields.Integer()
    step = fields.Integer()
    since = moment()
    until = moment()
    items = fields.List(fields.Nested(TimelinePointSchema))


class BadgeQuery(Schema):
    show = fields.String(load_default="status", validate=validate.OneOf(["status", "uptime"]))
    window = fields.String(load_default="24h", validate=validate.OneOf(["24h", "7d", "30d"]))


class PingSchema(Schema):
    message_id = fields.String()
    http_status = fields.Integer(allow_none=True)
    latency_ms = fields.Float()
    error = fields.String(allow_none=True)
    reason = fields.String(metadata={"example": "accepted"})
    body_excerpt = fields.String(allow_none=True)


class PreviewSchema(Schema):
    """What to show: all of it may be left out."""

    template = fields.Nested(
        TemplateSchema, metadata={"description": "To be tried; left out: the webhook's own."}
    )
    type = fields.String(
        load_default=EventType.FIRING.value,
        validate=validate.OneOf([event.value for event in EventType]),
    )
    alert_id = Whole(1, MAX_ID, metadata={"description": "Left out: an alert that is made up."})


class PreviewedSchema(Schema):
    body = fields.String(metadata={"description": "What would be sent, to the letter."})
    error = fields.String(
        allow_none=True,
        metadata={"description": "Why the template failed; the body is the plain form then."},
    )


class RotatedSecretSchema(Schema):
    secret = fields.String(metadata={"description": "The new secret. Shown this once."})
    previous_secret_expires_at = moment(
        metadata={"description": "Until then both secrets sign every message."}
    )


WebhookPage = page_of(WebhookSchema)
CheckPage = page_of(CheckSchema)
