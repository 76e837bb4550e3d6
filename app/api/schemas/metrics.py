"""Shapes of metrics. What reads samples is app.domain.samples; their schema is for people."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from app.api.schemas.fields import Text, moment, page_of
from app.domain import samples
from app.domain.ranges import AGGREGATES

LABEL = "label."


class SampleSchema(Schema):
    operation = Text(
        samples.MAX_OPERATION_CHARS, 1, required=True, metadata={"example": "checkout.latency"}
    )
    value = fields.Float(required=True, metadata={"example": 412.5})
    unit = Text(samples.MAX_UNIT_CHARS, 1, allow_none=True, metadata={"example": "ms"})
    labels = fields.Dict(
        keys=Text(samples.MAX_LABEL_NAME_CHARS, 1),
        values=Text(samples.MAX_LABEL_VALUE_CHARS),
        validate=validate.Length(max=samples.MAX_LABELS),
        allow_none=True,
        metadata={"example": {"host": "web-1"}},
    )
    timestamp = moment(allow_none=True, metadata={"description": "Without one: now."})


class SampleBatchSchema(Schema):
    samples = fields.List(
        fields.Nested(SampleSchema),
        required=True,
        validate=validate.Length(min=1, max=samples.MAX_SAMPLES),
    )


class _SampleErrors(Schema):
    index = fields.Integer(metadata={"description": "Of the sample in the request, from 0."})
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class SampleBatchResultSchema(Schema):
    accepted = fields.Integer(metadata={"description": "How many were taken in."})
    errors = fields.List(fields.Nested(_SampleErrors))


class Aggregates(fields.String):
    """Names of aggregates with commas between them; loads as a list, each once."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs) or ""
        names = list(dict.fromkeys(name.strip() for name in text.split(",")))
        unknown = [name for name in names if name not in AGGREGATES]
        if unknown:
            raise ValidationError(f"Must be some of: {', '.join(AGGREGATES)}.")
        return names


class MetricQuery(Schema):
    operation = Text(samples.MAX_OPERATION_CHARS, 1, required=True)
    since = moment(metadata={"description": "Without one: an hour before `until`."})
    until = moment(metadata={"description": "Without one: now."})
    step = fields.Integer(
        validate=validate.Range(min=60, max=366 * 86_400),
        metadata={"description": "Seconds of a point, a multiple of 60."},
    )
    agg = Aggregates(
        load_default=["avg"],
        metadata={"description": f"With commas: {', '.join(AGGREGATES)}.", "example": "p50,p95"},
    )

    @post_load
    def _labels(self, data: dict[str, Any], **_named: Any) -> dict[str, Any]:
        """What is left is `label.NAME`, or nothing that is known."""
        rest = data.keys() - self.fields.keys()
        unknown = [name for name in rest if not name.removeprefix(LABEL) or LABEL not in name[:6]]
        if unknown:
            raise ValidationError({name: ["Unknown field."] for name in unknown})
        value = Text(samples.MAX_LABEL_VALUE_CHARS)
        data["labels"] = {
            name.removeprefix(LABEL): value.deserialize(data.pop(name)) for name in rest
        }
        return data


class MetricPointSchema(Schema):
    at = moment(metadata={"description": "Where the point begins."})
    count = fields.Integer(allow_none=True)
    avg = fields.Float(
        allow_none=True, metadata={"description": "One field for each aggregate asked for."}
    )


class MetricAnswerSchema(Schema):
    operation = fields.String()
    unit = fields.String(allow_none=True)
    series = fields.Integer(metadata={"description": "How many series match."})
    since = moment()
    until = moment()
    step = fields.Integer()
    resolution = fields.Integer(
        metadata={"description": "Seconds of the rollups that it was answered from."}
    )
    points = fields.List(
        fields.Nested(MetricPointSchema),
        metadata={"description": "All of the range, in order; null where there is no sample."},
    )


class OperationSchema(Schema):
    operation = fields.String()
    unit = fields.String(allow_none=True)
    series = fields.Integer()
    created_at = moment()
    last_sample_at = moment(allow_none=True)


OperationPage = page_of(OperationSchema)
