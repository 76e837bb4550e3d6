"""Shapes of traffic: gates, paces and the pause."""

from marshmallow import Schema, fields

from app.api.schemas.alerts import SEVERITIES
from app.api.schemas.fields import Text, moment, page_of
from app.domain.traffic import Gate, HouseReason, TrafficReason

GATES = [gate.value for gate in Gate]
REASONS = [reason.value for reason in TrafficReason]
HOUSE_REASONS = [reason.value for reason in HouseReason]


class PauseRequestSchema(Schema):
    reason = Text(500, 1, allow_none=True, load_default=None)


class PauseSchema(Schema):
    paused_at = moment()
    paused_by = fields.String()
    reason = fields.String(allow_none=True)


class _Backlog(Schema):
    undelivered = fields.Integer(
        metadata={"description": "Open deliveries, counted up to twice the limit."}
    )
    limit = fields.Integer(metadata={"description": "QUEUE_LIMIT"})
    refused_severities = fields.List(fields.String(metadata={"enum": SEVERITIES}))


class _GateCounts(Schema):
    open = fields.Integer()
    closed = fields.Integer()
    half_open = fields.Integer()
    paced = fields.Integer(metadata={"description": "Restrained by an adaptive pace."})


class TrafficSchema(Schema):
    pause = fields.Nested(PauseSchema, allow_none=True)
    backlog = fields.Nested(_Backlog)
    gates = fields.Nested(_GateCounts)


class WebhookTrafficSchema(Schema):
    webhook_id = fields.Integer()
    gate = fields.String(metadata={"enum": GATES})
    reason = fields.String(
        allow_none=True, metadata={"description": "Of the last change.", "enum": [*REASONS, None]}
    )
    changed_at = moment()
    closings = fields.Integer(metadata={"description": "How often it closed in a row."})
    reopens_at = moment(allow_none=True, metadata={"description": "When a trial may go out."})
    pace_per_second = fields.Float(
        allow_none=True, metadata={"description": "The adaptive pace; null: not restrained."}
    )
    rate_limit_per_second = fields.Float(allow_none=True)
    max_in_flight = fields.Integer()
    in_flight = fields.Integer()
    owed = fields.Integer(metadata={"description": "Open deliveries, those in flight included."})
    probe_holds = fields.Boolean(
        metadata={"description": "Its checks are red, so retries wait for a green one."}
    )
    probe_may_hold = fields.Integer(
        metadata={"description": "Those owed that a red check may hold."}
    )
    failing_since = moment(
        allow_none=True, metadata={"description": "The first failure that no success followed."}
    )


class TrafficChangeSchema(Schema):
    id = fields.Integer()
    at = moment()
    gate = fields.String(metadata={"enum": GATES})
    pace_per_second = fields.Float(allow_none=True)
    reason = fields.String(metadata={"enum": REASONS})
    detail = fields.String(allow_none=True)


class HouseChangeSchema(Schema):
    id = fields.Integer()
    at = moment()
    reason = fields.String(metadata={"enum": HOUSE_REASONS})
    refused_severities = fields.List(
        fields.String(metadata={"enum": SEVERITIES}),
        metadata={"description": "Of a change of back-pressure: what is refused from then on."},
    )
    undelivered = fields.Integer(allow_none=True)
    by = fields.String(allow_none=True)
    detail = fields.String(allow_none=True)


HouseChangePage = page_of(HouseChangeSchema)
TrafficChangePage = page_of(TrafficChangeSchema)
