"""Shapes of anomalies."""

from marshmallow import Schema, fields, validate

from app.api.schemas.alerts import SEVERITIES
from app.api.schemas.fields import PageQuery, Text, moment, page_of
from app.domain.anomalies import EndReason
from app.domain.samples import MAX_OPERATION_CHARS

END_REASONS = [reason.value for reason in EndReason]


class AnomalySchema(Schema):
    id = fields.Integer()
    operation = fields.String()
    started_at = moment()
    ended_at = moment(allow_none=True, metadata={"description": "Null while it goes on."})
    end_reason = fields.String(allow_none=True, metadata={"enum": [*END_REASONS, None]})
    severity = fields.String(
        metadata={"enum": SEVERITIES, "description": "One of severity info raises no alert."}
    )
    score = fields.Float(metadata={"description": "How odd its oddest minute was: 0 to 3."})
    value = fields.Float(metadata={"description": "The p95 of that minute."})
    expected_low = fields.Float(attribute="low")
    expected_high = fields.Float(attribute="high")
    sentence = fields.String(metadata={"example": "p95 412 ms, usual for Tuesday 14 h 180–230"})
    views = fields.Dict(
        keys=fields.String(),
        values=fields.Float(),
        metadata={"description": "The evidence by what was looked at; from 1 it is rare."},
    )
    alert_id = fields.Integer(allow_none=True)


class AnomalyQuery(PageQuery):
    operation = Text(MAX_OPERATION_CHARS, 1)
    severity = fields.String(validate=validate.OneOf(SEVERITIES))
    since = moment(metadata={"description": "Those that went on at this time or later."})
    until = moment(metadata={"description": "Those that began before."})


AnomalyPage = page_of(AnomalySchema)
