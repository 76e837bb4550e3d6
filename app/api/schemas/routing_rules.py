"""Shapes of routing rules."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.api.schemas.fields import Flag, Text, Whole, ids, moment, page_of
from app.api.schemas.matchers import MatcherSchema, matchers

MAX_MINUTES = 7 * 24 * 60
MAX_WEBHOOKS = 100


class StepSchema(Schema):
    """Whom to tell as well when nobody has acknowledged after so many minutes."""

    after_minutes = Whole(1, MAX_MINUTES, required=True, metadata={"example": 15})
    webhook_ids = ids(MAX_WEBHOOKS, required=True)


def _ascending(steps: Sequence[dict[str, Any]]) -> None:
    minutes = [step["after_minutes"] for step in steps]
    if any(later <= earlier for earlier, later in pairwise(minutes)):
        raise ValidationError("Each step must come later than the one before.")


def _distinct(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValidationError("Each label only once.")


def label_names(most: int, **kwargs: Any) -> "fields.List[str]":
    """A list of different names of labels; `severity` and `source` are among them."""
    return fields.List(Text(128, 1), validate=[validate.Length(max=most), _distinct], **kwargs)


DEFAULTS: dict[str, Any] = {
    "position": 0,
    "is_active": True,
    "matchers": [],
    "continues": False,
    "group_by": None,
    "group_wait_seconds": 30,
    "group_interval_seconds": 300,
    "repeat_minutes": None,
    "steps": [],
}


class RoutingRuleChangeSchema(Schema):
    """Any of a rule's fields; what is left out stays."""

    name = Text(200, 1, metadata={"example": "storage, when it is serious"})
    position = Whole(
        0, 1_000_000, metadata={"description": "Rules are tried from the lowest on, then by id."}
    )
    is_active = Flag()
    matchers = matchers(0, "All must match; without any, every alert does.")
    webhook_ids = ids(
        MAX_WEBHOOKS, metadata={"description": "Whom to tell; inactive ones are left out."}
    )
    continues = Flag(metadata={"description": "Try the rules after it too when it matches."})
    group_by = label_names(
        20,
        allow_none=True,
        metadata={
            "description": "One message for alerts with the same values of these; null: one each.",
            "example": ["cluster", "service"],
        },
    )
    group_wait_seconds = Whole(
        0, 3600, metadata={"description": "How long the first of a group waits for others."}
    )
    group_interval_seconds = Whole(
        0, 86_400, metadata={"description": "The least time between messages of a group."}
    )
    repeat_minutes = Whole(
        1,
        MAX_MINUTES,
        allow_none=True,
        metadata={"description": "Remind until somebody acknowledges; null: never."},
    )
    steps = fields.List(
        fields.Nested(StepSchema),
        validate=[validate.Length(max=10), _ascending],
        metadata={"description": "Whom to tell as well, while nobody acknowledges."},
    )


class RoutingRuleCreateSchema(RoutingRuleChangeSchema):
    """A rule; only name and webhook_ids must be given."""

    name = Text(200, 1, required=True, metadata={"example": "storage, when it is serious"})
    webhook_ids = ids(
        MAX_WEBHOOKS,
        required=True,
        metadata={"description": "Whom to tell; inactive ones are left out."},
    )


class RoutingRuleSchema(Schema):
    id = fields.Integer()
    name = fields.String()
    position = fields.Integer()
    is_active = fields.Boolean()
    matchers = fields.List(fields.Nested(MatcherSchema))
    webhook_ids = fields.List(fields.Integer())
    continues = fields.Boolean()
    group_by = fields.List(fields.String(), allow_none=True)
    group_wait_seconds = fields.Integer()
    group_interval_seconds = fields.Integer()
    repeat_minutes = fields.Integer(allow_none=True)
    steps = fields.List(fields.Nested(StepSchema))
    created_at = moment()
    updated_at = moment()


RoutingRulePage = page_of(RoutingRuleSchema)
