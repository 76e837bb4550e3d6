"""Shapes of inhibition rules."""

from typing import Any

from marshmallow import Schema, fields

from app.api.schemas.fields import Flag, Text, moment, page_of
from app.api.schemas.matchers import MatcherSchema, matchers
from app.api.schemas.routing_rules import label_names

SOURCES = "Of the alerts that mute others while they are open."
TARGETS = "Of the alerts that are muted."
DEFAULTS: dict[str, Any] = {"is_active": True, "equal": []}


class InhibitionRuleChangeSchema(Schema):
    """Any of a rule's fields; what is left out stays."""

    name = Text(200, 1, metadata={"example": "a host that is down explains its services"})
    is_active = Flag()
    source_matchers = matchers(1, SOURCES)
    target_matchers = matchers(1, TARGETS)
    equal = label_names(
        20,
        metadata={
            "description": "Only where both have the same values of these.",
            "example": ["host"],
        },
    )


class InhibitionRuleCreateSchema(InhibitionRuleChangeSchema):
    """A rule; name and matchers must be given."""

    name = Text(
        200, 1, required=True, metadata={"example": "a host that is down explains its services"}
    )
    source_matchers = matchers(1, SOURCES, required=True)
    target_matchers = matchers(1, TARGETS, required=True)


class InhibitionRuleSchema(Schema):
    id = fields.Integer()
    name = fields.String()
    is_active = fields.Boolean()
    source_matchers = fields.List(fields.Nested(MatcherSchema))
    target_matchers = fields.List(fields.Nested(MatcherSchema))
    equal = fields.List(fields.String())
    created_at = moment()
    updated_at = moment()


InhibitionRulePage = page_of(InhibitionRuleSchema)
