"""Shapes of alerts and deliveries."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.schemas.fields import PageQuery, Text, Whole, ids, labels, moment, page_of
from app.domain.alerts import AlertStatus, Severity
from app.domain.retry import DeliveryStatus

SEVERITIES = [severity.value for severity in Severity]
ALERT_STATUSES = [status.value for status in AlertStatus]
DELIVERY_STATUSES = [status.value for status in DeliveryStatus]
MAX_BATCH = 1000
MAX_SNOOZE_MINUTES = 30 * 24 * 60


class AlertCreateSchema(Schema):
    title = Text(500, 1, required=True, metadata={"example": "Disk almost full"})
    severity = fields.String(
        required=True, validate=validate.OneOf(SEVERITIES), metadata={"example": "critical"}
    )
    message = Text(20_000, allow_none=True, metadata={"example": "/var is at 97 %"})
    source = Text(200, 1, allow_none=True, metadata={"example": "node-exporter"})
    labels = labels()
    dedup_key = Text(
        500,
        1,
        allow_none=True,
        metadata={"description": "While an alert with this key is open, it is counted up instead."},
    )
    webhook_ids = ids(
        1000,
        allow_none=True,
        metadata={"description": "Whom to tell; left out: the routing rules decide."},
    )
    expires_at = moment(
        allow_none=True,
        metadata={"description": "From then on it is not told any more, and it is resolved."},
    )


class AlertBatchSchema(Schema):
    alerts = fields.List(
        # Each is loaded by itself, so that a null among them stops only itself.
        fields.Raw(allow_none=True, metadata={"type": "object"}),
        required=True,
        validate=validate.Length(min=1, max=MAX_BATCH),
        metadata={"description": "Alerts as POST /alerts takes them."},
    )


class DeliveryCountsSchema(Schema):
    pending = fields.Integer()
    retrying = fields.Integer()
    delivered = fields.Integer()
    failed = fields.Integer()
    cancelled = fields.Integer()


class AlertSchema(Schema):
    id = fields.Integer()
    title = fields.String(metadata={"example": "Disk almost full"})
    message = fields.String(allow_none=True)
    severity = fields.String(metadata={"enum": SEVERITIES})
    source = fields.String(allow_none=True)
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    dedup_key = fields.String(allow_none=True)
    webhook_ids = fields.List(fields.Integer(), allow_none=True)
    count = fields.Integer(metadata={"description": "How often it was raised while open."})
    status = fields.String(metadata={"enum": ALERT_STATUSES})
    created_at = moment()
    updated_at = moment()
    expires_at = moment(allow_none=True)
    snoozed_by = fields.String(allow_none=True)
    snoozed_until = moment(allow_none=True)
    acknowledged_by = fields.String(allow_none=True)
    acknowledged_at = moment(allow_none=True)
    resolved_by = fields.String(allow_none=True)
    resolved_at = moment(allow_none=True)
    deliveries = fields.Nested(DeliveryCountsSchema)


class AlertQuery(PageQuery):
    status = fields.String(validate=validate.OneOf(ALERT_STATUSES))
    severity = fields.String(validate=validate.OneOf(SEVERITIES))
    source = Text(200)
    q = Text(
        200,
        1,
        metadata={
            "description": "Text in the title or the message. A page searches 20,000 alerts,"
            " so it may be short and still not the last."
        },
    )
    since = moment()
    until = moment()


class _Created(Schema):
    index = fields.Integer()
    id = fields.Integer()


class _Refused(Schema):
    index = fields.Integer()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class AlertBatchResultSchema(Schema):
    created = fields.List(fields.Nested(_Created))
    errors = fields.List(fields.Nested(_Refused))


class SnoozeSchema(Schema):
    """For how long, or until when: one of the two."""

    minutes = Whole(1, MAX_SNOOZE_MINUTES, metadata={"example": 60})
    until = moment()

    @validates_schema
    def _one_of_them(self, data: dict[str, Any], **_: Any) -> None:
        if len(data) != 1:
            raise ValidationError("Give either minutes or until.", "minutes")


class AcknowledgeBatchSchema(Schema):
    alert_ids = ids(1000, required=True)


class AcknowledgeBatchResultSchema(Schema):
    acknowledged = fields.List(fields.Integer())
    already = fields.List(fields.Integer())
    not_found = fields.List(fields.Integer())


class AttemptSchema(Schema):
    at = moment()
    http_status = fields.Integer(allow_none=True)
    latency_ms = fields.Float(allow_none=True)
    error = fields.String(allow_none=True)
    reason = fields.String(metadata={"example": "accepted"})
    body_excerpt = fields.String(allow_none=True)


class DeliverySchema(Schema):
    id = fields.Integer()
    alert_id = fields.Integer()
    webhook_id = fields.Integer()
    webhook_message_id = fields.String(
        metadata={"description": "The `webhook-id` header, the same on every attempt."}
    )
    type = fields.String(metadata={"example": "alert.firing"})
    status = fields.String(metadata={"enum": DELIVERY_STATUSES})
    reason = fields.String(allow_none=True)
    next_attempt_at = moment(allow_none=True)
    created_at = moment()
    finished_at = moment(allow_none=True)
    attempts = fields.List(fields.Nested(AttemptSchema))


class DeliveryQuery(PageQuery):
    status = fields.String(validate=validate.OneOf(DELIVERY_STATUSES))


AlertPage = page_of(AlertSchema)
DeliveryPage = page_of(DeliverySchema)
