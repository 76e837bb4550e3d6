"""Shapes of signing in, users and API keys."""

from marshmallow import Schema, fields, validate

from app.api.schemas.fields import Flag, Text, moment, page_of

ROLE = validate.OneOf(["viewer", "operator", "admin"])
ROLE_DOC = {"description": "viewer reads, operator acknowledges and sends, admin changes."}


class LoginSchema(Schema):
    username = Text(64, 1, required=True, metadata={"example": "admin"})
    password = Text(1024, 1, required=True, metadata={"example": "correct horse battery"})


class RefreshSchema(Schema):
    refresh_token = Text(
        4096, 1, metadata={"description": "Here, or as the bearer token of the request."}
    )


class TokensSchema(Schema):
    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    token_type = fields.String(required=True, metadata={"example": "Bearer"})
    expires_in = fields.Integer(
        required=True, metadata={"description": "Seconds the access token lasts.", "example": 900}
    )


class TicketSchema(Schema):
    ticket = fields.String(required=True)
    expires_in = fields.Integer(
        required=True, metadata={"description": "Seconds to use it in.", "example": 30}
    )


class MeSchema(Schema):
    kind = fields.String(metadata={"description": "user or api_key"})
    id = fields.Integer()
    name = fields.String()
    role = fields.String(metadata=ROLE_DOC)


class UserSchema(Schema):
    id = fields.Integer()
    username = fields.String(metadata={"example": "ada"})
    role = fields.String(metadata=ROLE_DOC)
    is_active = fields.Boolean()
    created_at = moment()
    updated_at = moment()


class UserCreateSchema(Schema):
    username = Text(64, 1, required=True, metadata={"example": "ada"})
    password = Text(1024, 8, required=True, metadata={"example": "a long pass phrase"})
    role = fields.String(load_default="viewer", validate=ROLE, metadata=ROLE_DOC)
    is_active = Flag(load_default=True)


class UserChangeSchema(Schema):
    password = Text(1024, 8)
    role = fields.String(validate=ROLE, metadata=ROLE_DOC)
    is_active = Flag()


class ApiKeySchema(Schema):
    id = fields.Integer()
    name = fields.String(metadata={"example": "nightly import"})
    prefix = fields.String(metadata={"description": "How the key begins, to tell it by."})
    role = fields.String(metadata=ROLE_DOC)
    created_at = moment()
    last_used_at = moment(allow_none=True)
    expires_at = moment(allow_none=True)


class ApiKeyWithKeySchema(ApiKeySchema):
    key = fields.String(metadata={"description": "Shown this once."})


class ApiKeyCreateSchema(Schema):
    name = Text(200, 1, required=True, metadata={"example": "nightly import"})
    role = fields.String(load_default="operator", validate=ROLE, metadata=ROLE_DOC)
    expires_at = moment(load_default=None, allow_none=True)


UserPage = page_of(UserSchema)
ApiKeyPage = page_of(ApiKeySchema)
