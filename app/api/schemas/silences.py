"""Shapes of silences and maintenance windows."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.api.schemas.fields import PageQuery, Text, moment, page_of
from app.api.schemas.matchers import MatcherSchema, matchers
from app.domain.silences import DAYS, SilenceKind, SilenceStatus, time_zones

KINDS = [kind.value for kind in SilenceKind]
STATUSES = [status.value for status in SilenceStatus]
MATCHERS = 'Of what is muted; all must match. `severity=~".*"` matches everything.'


def _known_zone(name: str) -> None:
    if name not in time_zones():
        raise ValidationError("There is no such time zone; one is called Europe/Berlin, say.")


def _time_of_day(example: str, **kwargs: Any) -> fields.String:
    return fields.String(
        required=True,
        validate=validate.Regexp(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z", error="Not HH:MM."),
        metadata={"example": example} | kwargs,
    )


# Made from a map, since `from` is a word of Python.
RecurrenceSchema = Schema.from_dict(
    {
        "days": fields.List(
            fields.String(validate=validate.OneOf(DAYS)),
            required=True,
            validate=validate.Length(min=1, max=len(DAYS)),
            metadata={"description": "On which it begins.", "example": ["sat", "sun"]},
        ),
        "from": _time_of_day("22:00"),
        "to": _time_of_day(
            "06:00", description="No later than `from`: on the day after, so 00:00 is midnight."
        ),
        "time_zone": fields.String(
            required=True, validate=_known_zone, metadata={"example": "Europe/Berlin"}
        ),
    },
    name="RecurrenceSchema",
)

DEFAULTS: dict[str, Any] = {
    "kind": SilenceKind.SILENCE.value,
    "comment": None,
    "ends_at": None,
    "recurrence": None,
}


class SilenceChangeSchema(Schema):
    """Any of a silence's fields; what is left out stays."""

    kind = fields.String(validate=validate.OneOf(KINDS))
    comment = Text(2000, allow_none=True, metadata={"example": "We move the database."})
    matchers = matchers(1, MATCHERS)
    starts_at = moment(metadata={"description": "Left out: now."})
    ends_at = moment(allow_none=True, metadata={"description": "null: never; only if it recurs."})
    recurrence = fields.Nested(
        RecurrenceSchema,
        allow_none=True,
        metadata={"description": "In force at these hours only; null: all the time."},
    )


class SilenceCreateSchema(SilenceChangeSchema):
    """A silence; matchers must be given, and an end unless it recurs."""

    matchers = matchers(1, MATCHERS, required=True)


class SilenceSchema(Schema):
    id = fields.Integer()
    kind = fields.String(metadata={"enum": KINDS})
    comment = fields.String(allow_none=True)
    matchers = fields.List(fields.Nested(MatcherSchema))
    starts_at = moment()
    ends_at = moment(allow_none=True)
    recurrence = fields.Nested(RecurrenceSchema, allow_none=True)
    created_by = fields.String()
    status = fields.String(metadata={"enum": STATUSES})
    in_force_until = moment(
        allow_none=True, metadata={"description": "null: it mutes nothing right now."}
    )
    created_at = moment()
    updated_at = moment()


class SilenceQuery(PageQuery):
    kind = fields.String(validate=validate.OneOf(KINDS))
    status = fields.String(validate=validate.OneOf(STATUSES))


SilencePage = page_of(SilenceSchema)
