"""Shapes of the audit log."""

from marshmallow import Schema, fields, validate

from app.api.schemas.fields import PageQuery, Text, moment, page_of
from app.domain.audit import ACTIONS, RESOURCES


class AuditEntrySchema(Schema):
    id = fields.Integer()
    at = moment()
    actor_kind = fields.String(
        metadata={
            "description": "user, api_key, operating_system_user (a command on Tocsin's machine),"
            " or system"
        }
    )
    actor_id = fields.Integer(allow_none=True)
    actor_name = fields.String(metadata={"example": "admin"})
    address = fields.String(allow_none=True, metadata={"example": "192.0.2.7"})
    request_id = fields.String(allow_none=True)
    action = fields.String(metadata={"example": "update"})
    resource = fields.String(metadata={"example": "webhook"})
    resource_id = fields.String(allow_none=True, metadata={"example": "7"})
    before = fields.Dict(
        allow_none=True, metadata={"description": "What changed, as it was. Null: it was not there"}
    )
    after = fields.Dict(
        allow_none=True, metadata={"description": "What changed, as it is. Null: it is gone"}
    )


class AuditQuery(PageQuery):
    actor = Text(200, 1, metadata={"description": "The `actor_name`."})
    action = fields.String(validate=validate.OneOf(ACTIONS))
    resource = fields.String(validate=validate.OneOf(RESOURCES))
    resource_id = Text(64, 1)
    since = moment()
    until = moment()


AuditPage = page_of(AuditEntrySchema)
