"""Shapes of baselines, their versions and their schedules."""

from typing import Any

from marshmallow import Schema, fields, validate

from app.api.schemas.fields import Flag, PageQuery, Text, Whole, moment, page_of
from app.domain.back_test import Verdict
from app.domain.left_out import Reason
from app.domain.recalculation import Outcome

MAX_OPERATION_CHARS = 200
STATUSES = ["active", "superseded", "rolled_back", "rejected"]


def _operation(**kwargs: Any) -> Text:
    return Text(MAX_OPERATION_CHARS, 1, metadata={"example": "checkout/pay"}, **kwargs)


class ScheduleChangeSchema(Schema):
    """Any of a schedule's fields; what is left out stays."""

    operation = _operation()
    frequency_seconds = Whole(
        300, 2_592_000, metadata={"description": "From one recalculation to the next."}
    )
    lookback_days = Whole(1, 365, metadata={"description": "How much of the past is learnt from."})
    minimum_samples = Whole(
        1, 10**12, metadata={"description": "With fewer in the window there is no new version."}
    )
    is_active = Flag(metadata={"description": "false: only when somebody asks."})
    next_run_at = moment(metadata={"description": "Left out of a new one: now."})


class ScheduleCreateSchema(ScheduleChangeSchema):
    """What is left out gets its default."""

    operation = _operation(required=True)


class ScheduleSchema(Schema):
    id = fields.Integer()
    operation = fields.String()
    frequency_seconds = fields.Integer()
    lookback_days = fields.Integer()
    minimum_samples = fields.Integer()
    is_active = fields.Boolean()
    is_default = fields.Boolean(
        metadata={"description": "Made by Tocsin, since the operation had none."}
    )
    next_run_at = moment()
    last_run_at = moment(allow_none=True)
    last_status = fields.String(allow_none=True, metadata={"enum": [one.value for one in Outcome]})
    last_error = fields.String(
        allow_none=True, metadata={"description": "Why the last one gave no active version."}
    )
    last_version = fields.Integer(allow_none=True)
    failures_in_a_row = fields.Integer()
    created_at = moment()
    updated_at = moment()


class OperationQuery(PageQuery):
    operation = _operation()


class VersionQuery(OperationQuery):
    status = fields.String(validate=validate.OneOf(STATUSES))


class RecalculateSchema(Schema):
    operation = _operation(allow_none=True, load_default=None)


class RollBackSchema(Schema):
    operation = _operation(required=True)
    version = Whole(
        1,
        2**31 - 1,
        allow_none=True,
        load_default=None,
        metadata={"description": "Left out: the one before the active one."},
    )


class StatisticsSchema(Schema):
    """In the unit of the samples. `stddev` is that of the samples themselves, `mad` the median of
    the distances from the median.
    """

    sample_count = fields.Integer()
    p50 = fields.Float()
    p75 = fields.Float()
    p90 = fields.Float()
    p95 = fields.Float()
    p99 = fields.Float()
    mean = fields.Float()
    stddev = fields.Float()
    mad = fields.Float()


class SlotSchema(StatisticsSchema):
    slot = fields.Integer(metadata={"description": "0 to 167; 0 is Monday 00:00 UTC."})
    day = fields.String(metadata={"example": "tue"})
    hour = fields.Integer(metadata={"description": "0 to 23, UTC."})


class LeftOutSchema(Schema):
    since = fields.String()
    until = fields.String()
    reason = fields.String(metadata={"enum": [one.value for one in Reason]})
    id = fields.Integer(metadata={"description": "Of the alert, anomaly, incident or silence."})


class TriedSchema(Schema):
    buckets = fields.Integer(metadata={"description": "Of five minutes each, with samples."})
    off = fields.Integer(metadata={"description": "Of these, off the baseline."})
    fired = fields.Integer(
        metadata={
            "description": "How many times the operation would have been off the baseline for two"
            " buckets or more in a row, which is what incidents go by. Alerts come from anomalies."
        }
    )


class BackTestSchema(TriedSchema):
    since = fields.String()
    until = fields.String()
    active = fields.Nested(
        TriedSchema,
        allow_none=True,
        metadata={"description": "The version that was active, on the same week."},
    )


class _AsStored(fields.Nested):
    """JSON as the database made it: thousands of numbers, so they are not looked at again."""

    def _serialize(self, *given: Any, **_options: Any) -> Any:
        return given[0]


class VersionSchema(StatisticsSchema):
    operation = fields.String()
    version = fields.Integer()
    status = fields.String(metadata={"enum": STATUSES})
    window_since = moment()
    window_until = moment()
    left_out = _AsStored(
        LeftOutSchema(many=True), metadata={"description": "What it did not learn from."}
    )
    left_out_hours = fields.Integer(
        metadata={"description": "Hours with samples that these windows touch."}
    )
    back_test = _AsStored(BackTestSchema)
    verdict = fields.String(metadata={"enum": [one.value for one in Verdict]})
    computed_at = moment()
    activated_at = moment(allow_none=True)


class BaselineSchema(VersionSchema):
    slots = _AsStored(
        SlotSchema(many=True),
        metadata={"description": "The hours of the week that have enough samples."},
    )


SchedulePage = page_of(ScheduleSchema)
VersionPage = page_of(VersionSchema)
BaselinePage = page_of(BaselineSchema)
