"""Shapes of the question whom an alert would reach, and of its answer."""

from marshmallow import Schema, fields, validate

from app.api.schemas.alerts import SEVERITIES
from app.api.schemas.fields import Text, ids, labels, moment
from app.api.schemas.routing_rules import StepSchema
from app.domain.health import HealthStatus
from app.domain.routing import RoutingReason

REASONS = [reason.value for reason in RoutingReason]


class RoutingTestSchema(Schema):
    """What routing looks at in an alert; the rest of it changes nothing."""

    severity = fields.String(
        required=True, validate=validate.OneOf(SEVERITIES), metadata={"example": "critical"}
    )
    source = Text(200, 1, allow_none=True)
    labels = labels()
    webhook_ids = ids(1000, allow_none=True)
    title = Text(500, 1, metadata={"description": "Changes nothing; alerts have one."})


class _Group(Schema):
    labels = fields.Dict(keys=fields.String(), values=fields.String())
    wait_seconds = fields.Integer()
    interval_seconds = fields.Integer()
    flush_at = moment(metadata={"description": "When the group it would join is told."})


class _Route(Schema):
    reason = fields.String(metadata={"enum": REASONS})
    rule_id = fields.Integer(allow_none=True)
    rule_name = fields.String(allow_none=True)
    webhook_ids = fields.List(
        fields.Integer(), allow_none=True, metadata={"description": "null: every active webhook."}
    )
    group = fields.Nested(_Group, allow_none=True, metadata={"description": "null: told at once."})
    steps = fields.List(fields.Nested(StepSchema))
    repeat_minutes = fields.Integer(allow_none=True)


class _Target(Schema):
    webhook_id = fields.Integer()
    name = fields.String(allow_none=True)
    is_active = fields.Boolean()
    health_status = fields.String(
        allow_none=True, metadata={"enum": [*(status.value for status in HealthStatus), None]}
    )
    told = fields.Boolean()
    reason = fields.String(
        metadata={"description": "Why it would be told, or not.", "example": "rule_matched"}
    )


class _Decision(Schema):
    reason = fields.String(metadata={"enum": REASONS})
    rule_id = fields.Integer(allow_none=True)
    silence_id = fields.Integer(allow_none=True)
    inhibition_id = fields.Integer(allow_none=True)
    alert_id = fields.Integer(
        allow_none=True, metadata={"description": "The open alert that inhibits."}
    )
    until = moment(allow_none=True, metadata={"description": "When the silence is over."})


class RoutingAnswerSchema(Schema):
    routes = fields.List(
        fields.Nested(_Route), metadata={"description": "The ways it takes unless it is muted."}
    )
    targets = fields.List(
        fields.Nested(_Target),
        metadata={"description": "Whom the routes name, at most 1,000 where all are told."},
    )
    muted_by = fields.Nested(_Decision, allow_none=True)
    decisions = fields.List(
        fields.Nested(_Decision), metadata={"description": "Every rule, in the order it was tried."}
    )
