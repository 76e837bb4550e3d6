"""Shapes of dead letters and redrives."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from app.api.schemas.alerts import (
    ALERT_STATUSES,
    SEVERITIES,
    AttemptSchema,
    DeliverySchema,
)
from app.api.schemas.fields import MAX_ID, Flag, PageQuery, Whole, moment, page_of
from app.domain.alerts import EventType
from app.domain.redrive import SkipReason
from app.domain.retry import Reason

MAX_VALUES = 1000
EVENT_TYPES = [
    event.value for event in (EventType.FIRING, EventType.ACKNOWLEDGED, EventType.RESOLVED)
]
SKIP_REASONS = [reason.value for reason in SkipReason]


class OneOrMany(fields.List[Any]):
    """A value, or a list of values of which one must fit."""

    def __init__(self, inner: "fields.Field[Any]", what: str) -> None:
        super().__init__(
            inner,
            validate=validate.Length(min=1, max=MAX_VALUES),
            metadata={"description": f"{what}: one, or a list."},
        )

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[Any]:
        many = value if isinstance(value, list) else [value]
        return super()._deserialize(many, attr, data, **kwargs)


def _one_of(values: list[str]) -> "fields.Field[Any]":
    return fields.String(validate=validate.OneOf(values))


class _EndedFilter(Schema):
    """All that is given must fit."""

    reason = OneOrMany(_one_of([reason.value for reason in Reason]), "Why it ended")
    severity = OneOrMany(_one_of(SEVERITIES), "The alert's severity")
    type = OneOrMany(_one_of(EVENT_TYPES), "What it tells")
    since = moment(metadata={"description": "It ended then or later."})
    until = moment(metadata={"description": "It ended before."})


class RedriveFilterSchema(_EndedFilter):
    webhook_id = OneOrMany(Whole(1, MAX_ID), "Whom it was for")
    alert_id = OneOrMany(Whole(1, MAX_ID), "Of what it tells")
    status = OneOrMany(_one_of(["failed", "cancelled"]), "How it ended (failed if left out)")
    include_superseded = Flag(
        metadata={"description": "Also tell of alerts that are over (false if left out)."}
    )


class RedriveRequestSchema(Schema):
    filter = fields.Nested(
        RedriveFilterSchema,
        required=True,
        metadata={"description": "Everything that failed, if nothing is in it."},
    )
    dry_run = Flag(
        load_default=False,
        metadata={"description": "Only answer what matches, and change nothing."},
    )


def _id_in_query() -> "fields.Field[Any]":
    return fields.Integer(validate=validate.Range(min=1, max=MAX_ID))


class DeadLetterFilter(_EndedFilter):
    """The same in a query, where everything is text, for what failed."""

    webhook_id = OneOrMany(_id_in_query(), "Whom it was for")
    alert_id = OneOrMany(_id_in_query(), "Of what it tells")


class DeadLetterQuery(DeadLetterFilter, PageQuery):
    """A page of them."""


class DeadLetterSchema(Schema):
    id = fields.Integer(metadata={"description": "The delivery's id."})
    alert_id = fields.Integer()
    alert_title = fields.String(metadata={"example": "Disk almost full"})
    alert_status = fields.String(metadata={"enum": ALERT_STATUSES})
    severity = fields.String(metadata={"enum": SEVERITIES})
    webhook_id = fields.Integer()
    webhook_name = fields.String(metadata={"example": "on-call"})
    webhook_is_active = fields.Boolean()
    webhook_message_id = fields.String()
    type = fields.String(metadata={"enum": EVENT_TYPES})
    reason = fields.String(allow_none=True, metadata={"example": "attempts_exhausted"})
    attempts_made = fields.Integer()
    last_attempt = fields.Nested(AttemptSchema, allow_none=True)
    redrive_id = fields.Integer(
        allow_none=True, metadata={"description": "The redrive that tried it last."}
    )
    created_at = moment()
    finished_at = moment()


class _WebhookCount(Schema):
    webhook_id = fields.Integer()
    name = fields.String()
    is_active = fields.Boolean(metadata={"description": "If not, a redrive skips what is for it."})
    count = fields.Integer()


class _ReasonCount(Schema):
    reason = fields.String(allow_none=True)
    count = fields.Integer()


class DeadLetterSummarySchema(Schema):
    total = fields.Integer()
    by_webhook = fields.List(
        fields.Nested(_WebhookCount), metadata={"description": "The most first."}
    )
    by_reason = fields.List(
        fields.Nested(_ReasonCount), metadata={"description": "The most first."}
    )


class RedrivePreviewSchema(DeadLetterSummarySchema):
    sample = fields.List(
        fields.Nested(DeliverySchema), metadata={"description": "The ones that wait longest."}
    )


class _RedriveShareSchema(Schema):
    webhook_id = fields.Integer()
    total = fields.Integer()
    requeued = fields.Integer()
    skipped = fields.Dict(keys=fields.String(), values=fields.Integer())
    finished_at = moment(allow_none=True)


class RedriveSchema(Schema):
    id = fields.Integer()
    status = fields.String(
        metadata={
            "description": "finished: all of it was requeued or skipped.",
            "enum": ["running", "finished", "cancelled"],
        }
    )
    filter = fields.Dict(metadata={"description": "As it was asked for."})
    total = fields.Integer(metadata={"description": "How many matched at the start."})
    requeued = fields.Integer()
    skipped = fields.Integer()
    skipped_by_reason = fields.Dict(
        keys=fields.String(metadata={"enum": SKIP_REASONS}), values=fields.Integer()
    )
    delivered = fields.Integer(metadata={"description": "Of those requeued, as all that follow."})
    failed = fields.Integer(metadata={"description": "They failed again."})
    cancelled = fields.Integer()
    open = fields.Integer()
    elsewhere = fields.Integer(
        metadata={"description": "A later redrive took them over, or they were purged."}
    )
    created_by = fields.String()
    created_at = moment()
    finished_at = moment(allow_none=True)


class RedriveDetailSchema(RedriveSchema):
    webhooks = fields.List(fields.Nested(_RedriveShareSchema))


DeadLetterPage = page_of(DeadLetterSchema)
RedrivePage = page_of(RedriveSchema)
