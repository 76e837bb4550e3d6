"""Shapes of explanations."""

from marshmallow import Schema, fields

from app.api.schemas.alerts import ALERT_STATUSES, DELIVERY_STATUSES
from app.api.schemas.fields import moment
from app.domain.waiting import WaitingReason

WAITING_REASONS = [reason.value for reason in WaitingReason]


class DecisionSchema(Schema):
    at = moment()
    stage = fields.String(metadata={"enum": ["alert", "routing", "group"]})
    reason = fields.String(metadata={"example": "rule_matched"})
    rule_id = fields.Integer()
    rule_ids = fields.List(
        fields.Integer(), metadata={"description": "Of rules that did not match, all at once."}
    )
    silence_id = fields.Integer()
    inhibition_id = fields.Integer()
    alert_id = fields.Integer(metadata={"description": "The open alert that inhibits."})
    until = moment(allow_none=True)
    detail = fields.String()


class FollowUpSchema(Schema):
    id = fields.Integer()
    kind = fields.String(metadata={"enum": ["unmute", "escalate", "remind"]})
    rule_id = fields.Integer(allow_none=True)
    number = fields.Integer(
        metadata={"description": "Of the step, from 1; of a reminder, how many there were."}
    )
    webhook_ids = fields.List(fields.Integer(), allow_none=True)
    due_at = moment()
    done_at = moment(allow_none=True)
    outcome = fields.String(allow_none=True)


class WaitingSchema(Schema):
    reason = fields.String(metadata={"enum": WAITING_REASONS})
    until = moment(allow_none=True)


class TraceSchema(Schema):
    at = moment()
    stage = fields.String(metadata={"enum": ["queued", "attempt", "traffic", "check", "outcome"]})
    reason = fields.String(allow_none=True, metadata={"example": "server_error"})
    http_status = fields.Integer(allow_none=True)
    gate = fields.String()
    pace_per_second = fields.Float(allow_none=True)
    detail = fields.String(allow_none=True)
    decision = fields.String(
        allow_none=True, metadata={"description": "Of a check: what the rules made of it."}
    )


class MessageSchema(Schema):
    delivery_id = fields.Integer()
    webhook_message_id = fields.String()
    type = fields.String(metadata={"example": "alert.firing"})
    status = fields.String(metadata={"enum": DELIVERY_STATUSES})
    reason = fields.String(allow_none=True)
    waits = fields.Nested(
        WaitingSchema, allow_none=True, metadata={"description": "What it waits for; null: over."}
    )
    trace = fields.List(fields.Nested(TraceSchema))


class WebhookExplanationSchema(Schema):
    webhook_id = fields.Integer()
    name = fields.String()
    told = fields.Boolean(metadata={"description": "It has accepted a message about the alert."})
    reason = fields.String(
        metadata={"description": "Why it is, or is not, to be told.", "example": "rule_matched"}
    )
    messages = fields.List(fields.Nested(MessageSchema))


class ExplanationSchema(Schema):
    alert_id = fields.Integer()
    status = fields.String(metadata={"enum": ALERT_STATUSES})
    decisions = fields.List(fields.Nested(DecisionSchema))
    follow_ups = fields.List(fields.Nested(FollowUpSchema))
    webhooks = fields.List(fields.Nested(WebhookExplanationSchema))
