"""Shapes of the cache: what it counted, how it is, and what it is told to do."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.schemas.fields import Flag, Text, moment

MAX_KEYS = 500
MAX_KEY_CHARS = 500
PRIORITIES = ["critical", "high", "medium", "low"]
BREAKER = {"enum": ["closed", "open", None], "description": "null: there is none."}
RATE = {"description": "Hits among all that were asked for, 0 to 1; null before anything was."}
EXAMPLE_KEY = "alerts.list?limit=20"


def _keys(**kwargs: Any) -> "fields.List[str]":
    return fields.List(
        Text(MAX_KEY_CHARS, 1),
        validate=validate.Length(min=1, max=MAX_KEYS),
        metadata={"example": [EXAMPLE_KEY]},
        **kwargs,
    )


def _instant() -> fields.String:
    """As processes write it into their reports."""
    return fields.String(metadata={"format": "date-time"})


class _Level(Schema):
    items = fields.Integer(
        allow_none=True,
        metadata={"description": "Now. For L2 what its server says; null if it does not answer."},
    )
    bytes = fields.Integer(allow_none=True)
    hits = fields.Integer()
    misses = fields.Integer()
    hit_rate = fields.Float(allow_none=True, metadata=RATE)
    evictions = fields.Integer(allow_none=True)
    expirations = fields.Integer(allow_none=True)
    errors = fields.Integer(metadata={"description": "Questions that were not answered in time."})


class _Breakers(Schema):
    l2 = fields.String(allow_none=True, metadata=BREAKER)
    database = fields.String(metadata={"enum": ["closed", "open"]})


class _Counts(Schema):
    hit_rate = fields.Float(
        allow_none=True, metadata={"description": "Of both levels together, 0 to 1."}
    )
    l1 = fields.Nested(_Level)
    l2 = fields.Nested(_Level, allow_none=True, metadata={"description": "null: there is none."})
    # `loads` is a method of schemas.
    made = fields.Integer(
        attribute="loads",
        data_key="loads",
        metadata={"description": "Answers that came from the database."},
    )
    load_errors = fields.Integer()
    stale_served = fields.Integer(
        metadata={"description": "Older than they should be, while the database was away."}
    )
    flights_joined = fields.Integer(
        metadata={"description": "Requests that waited for a load of somebody else."}
    )
    renewals = fields.Integer(metadata={"description": "Loads before the old answer was over."})
    breakers = fields.Nested(_Breakers)


class _Process(_Counts):
    name = fields.String(metadata={"example": "web-4711@host"})
    kind = fields.String(metadata={"enum": ["web", "worker"]})
    pid = fields.Integer()
    started_at = _instant()
    reported_at = _instant()
    is_listening = fields.Boolean(
        metadata={"description": "Whether it hears of what other processes write."}
    )


class _Plan(Schema):
    at = _instant()
    load_ms = fields.Float()
    statement_ms = fields.Float()
    statement = fields.String()
    plan = fields.List(fields.String())


class _Query(Schema):
    name = fields.String(metadata={"example": "alerts.list"})
    calls = fields.Integer()
    hits_l1 = fields.Integer()
    hits_l2 = fields.Integer()
    misses = fields.Integer()
    stale = fields.Integer()
    made = fields.Integer(attribute="loads", data_key="loads")
    errors = fields.Integer()
    rows = fields.Integer(metadata={"description": "Of all loads."})
    bytes = fields.Integer()
    mean_ms = fields.Float(metadata={"description": "A load's time in the database."})
    p95_ms = fields.Float(metadata={"description": "The highest of any process."})
    plan = fields.Nested(
        _Plan,
        allow_none=True,
        metadata={"description": "EXPLAIN of the latest load over 200 ms, without arguments."},
    )


class CacheStatsSchema(_Counts):
    is_complete = fields.Boolean(
        metadata={"description": "false: Redis is away, and these are of one process only."}
    )
    detail = fields.String(allow_none=True)
    processes = fields.List(fields.Nested(_Process))
    slowest_queries = fields.List(fields.Nested(_Query))


class WarmRequestSchema(Schema):
    keys = _keys()
    priority = fields.String(validate=validate.OneOf(PRIORITIES))

    @validates_schema
    def _one_of_them(self, data: dict[str, Any], **_: Any) -> None:
        if len(data) > 1:
            raise ValidationError("Give keys or a priority, not both.", "priority")


class _QueryWarmed(Schema):
    name = fields.String()
    entries = fields.Integer()
    bytes = fields.Integer()
    duration_ms = fields.Float()
    slowest_ms = fields.Float()


class _WarmError(Schema):
    key = fields.String()
    error = fields.String()


class WarmedSchema(Schema):
    entries = fields.Integer(metadata={"description": "Answers that were loaded and kept."})
    bytes = fields.Integer()
    duration_ms = fields.Float()
    left = fields.Integer(
        metadata={"description": "Not loaded, because ten seconds did not suffice."}
    )
    queries = fields.List(fields.Nested(_QueryWarmed))
    errors = fields.List(fields.Nested(_WarmError))


class InvalidateRequestSchema(Schema):
    """One of the three."""

    keys = _keys()
    pattern = Text(
        MAX_KEY_CHARS,
        1,
        metadata={
            "description": "`*` is any run of characters, `?` any one, all else is itself.",
            "example": "alerts.list*",
        },
    )
    all = Flag(validate=validate.Equal(True, error="Must be true, or left out."))

    @validates_schema
    def _exactly_one(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("Give one of: keys, pattern, all.", "keys")
        if len(data) > 1:
            raise ValidationError(f"Give only one of: {', '.join(sorted(data))}.", max(data))


class InvalidatedSchema(Schema):
    invalidated = fields.Integer(
        metadata={"description": "Answers there were, in L2 or, if those are more, in L1."}
    )


class _LevelHealth(Schema):
    status = fields.String(metadata={"enum": ["healthy", "degraded", "unavailable", "disabled"]})
    latency_ms = fields.Float(allow_none=True)
    detail = fields.String(allow_none=True)


class CacheHealthSchema(Schema):
    status = fields.String(metadata={"enum": ["healthy", "degraded", "disabled"]})
    timestamp = moment()
    levels = fields.Dict(
        keys=fields.String(metadata={"enum": ["l1", "l2", "news"]}),
        values=fields.Nested(_LevelHealth),
    )
