"""Shapes of incidents."""

from marshmallow import Schema, fields, validate

from app.api.schemas.fields import PageQuery, Text, moment, page_of

STATUSES = ["open", "closed"]


class MemberSchema(Schema):
    operation = fields.String()
    is_cause = fields.Boolean(metadata={"description": "Whether it is the likely cause."})
    off_since = moment()
    back_at = moment(allow_none=True)
    back_reason = fields.String(allow_none=True, metadata={"enum": ["usual_again", "no_data"]})
    correlation = fields.Float(
        allow_none=True, metadata={"description": "Pearson's, with the cause; null of the cause."}
    )
    value = fields.Float(metadata={"description": "The mean of the last 5 minutes that were off."})
    usual_low = fields.Float()
    usual_high = fields.Float()


class IncidentSchema(Schema):
    id = fields.Integer()
    status = fields.String(metadata={"enum": STATUSES})
    cause_operation = fields.String()
    summary = fields.String()
    started_at = moment()
    closed_at = moment(allow_none=True)
    created_at = moment()
    updated_at = moment()
    members = fields.List(fields.Nested(MemberSchema))


class IncidentQuery(PageQuery):
    status = fields.String(validate=validate.OneOf(STATUSES))
    operation = Text(200, 1)


IncidentPage = page_of(IncidentSchema)
