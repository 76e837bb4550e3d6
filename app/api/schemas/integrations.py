"""Shapes of what Prometheus Alertmanager sends, and of what it is answered."""

from marshmallow import EXCLUDE, Schema, fields, validate

from app.api.schemas.alerts import RefusedSchema
from app.api.schemas.fields import MAX_LABELS, Text, moment
from app.domain.alertmanager import VERSION, Became

MAX_TEXT_CHARS = 1_000_000  # what is too long for an alert is cut, not refused


class AlertmanagerAlertSchema(Schema):
    """An alert of a group. Other fields are passed over."""

    class Meta:
        unknown = EXCLUDE

    status = fields.String(required=True, validate=validate.OneOf(["firing", "resolved"]))
    labels = fields.Dict(
        required=True,
        keys=Text(128, 1),
        values=Text(MAX_TEXT_CHARS),
        validate=validate.Length(max=MAX_LABELS),
        metadata={"example": {"alertname": "DiskAlmostFull", "severity": "critical"}},
    )
    annotations = fields.Dict(
        keys=Text(MAX_TEXT_CHARS),
        values=Text(MAX_TEXT_CHARS),
        load_default=dict,
        metadata={"example": {"summary": "Disk almost full", "description": "/var is at 97 %"}},
    )
    starts_at = moment(required=True, data_key="startsAt")
    ends_at = moment(data_key="endsAt", load_default=None, allow_none=True)
    generator_url = Text(MAX_TEXT_CHARS, data_key="generatorURL", load_default=None)
    fingerprint = Text(64, 1, required=True, metadata={"example": "48f1a8d4b1c2e3f0"})


class AlertmanagerSchema(Schema):
    """Alertmanager's webhook message. Other fields are passed over."""

    class Meta:
        unknown = EXCLUDE

    version = fields.String(
        required=True,
        validate=validate.Equal(VERSION, error="Only version 4 of the message is understood."),
        metadata={"example": VERSION},
    )
    alerts = fields.List(
        # Each is loaded by itself, so that a bad one stops only itself.
        fields.Raw(allow_none=True, metadata={"type": "object"}),
        required=True,
    )
    group_key = fields.String(data_key="groupKey", load_default=None, allow_none=True)
    truncated_alerts = fields.Integer(
        data_key="truncatedAlerts",
        load_default=0,
        allow_none=True,
        metadata={"description": "So many did not fit into `max_alerts`."},
    )


class _TakenSchema(Schema):
    index = fields.Integer()
    fingerprint = fields.String()
    became = fields.String(metadata={"enum": [one.value for one in Became]})
    id = fields.Integer(allow_none=True, metadata={"description": "The alert's."})


class AlertmanagerResultSchema(Schema):
    alerts = fields.List(fields.Nested(_TakenSchema))
    errors = fields.List(fields.Nested(RefusedSchema))
