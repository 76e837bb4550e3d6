"""Metrics: samples in, points out."""

from typing import Any

import orjson
from flask import Response, request
from marshmallow import INCLUDE

from app.api import cached
from app.api.context import deps
from app.api.openapi import Blueprint, read_bulk_json
from app.api.schemas.fields import PageQuery
from app.api.schemas.metrics import (
    MetricAnswerSchema,
    MetricQuery,
    OperationPage,
    SampleBatchResultSchema,
    SampleBatchSchema,
)
from app.domain.samples import MAX_SAMPLES, read_samples
from app.errors import Invalid
from app.services.queries import analytics as queries

blueprint = Blueprint("metrics", __name__, url_prefix="/api/v1/metrics", description="Time series")


@blueprint.post("")
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": SampleBatchSchema}},
    }
)
@blueprint.response(201, SampleBatchResultSchema)
@blueprint.alt_response(207, schema=SampleBatchResultSchema, description="Some were refused")
@blueprint.alt_response(503, description="Too many wait to be rolled up, or no database")
def take_in_samples() -> Response:
    """Take in up to 10,000 samples. A bad one doesn't stop the others.

    What is accepted is committed; queries show it within seconds. A sample without a `timestamp`
    is of now. It may be up to 10 minutes ahead and 14 days old.
    """
    samples = read_samples(_sent(read_bulk_json(request)), deps().clock.now())
    errors = dict(samples.errors)
    if len(samples.values):
        with deps().unit_of_work() as work:
            errors |= deps().intake.accept(work.session, samples)
    answer = {
        "accepted": len(samples.values) + len(samples.errors) - len(errors),
        "errors": [{"index": index, "errors": errors[index]} for index in sorted(errors)],
    }
    return _json(answer, 207 if errors else 201)


def _sent(body: Any) -> list[Any]:
    """The list in the body. Raises Invalid."""
    if not isinstance(body, dict):
        raise Invalid({"_schema": ["Invalid input type."]})
    errors = {name: ["Unknown field."] for name in body if name != "samples"}
    samples = body.get("samples")
    if "samples" not in body:
        errors["samples"] = ["Missing data for required field."]
    elif not isinstance(samples, list):
        errors["samples"] = ["Not a valid list."]
    elif not 1 <= len(samples) <= MAX_SAMPLES:
        errors["samples"] = [f"Length must be between 1 and {MAX_SAMPLES}."]
    if errors or not isinstance(samples, list):
        raise Invalid(errors)
    return samples


@blueprint.get("/query")
@blueprint.arguments(MetricQuery, location="query", unknown=INCLUDE)
@blueprint.response(200, MetricAnswerSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def query(asked: dict[str, Any]) -> Response:
    """What an operation was, point by point, over all of its series that match.

    `label.NAME=VALUE` takes only the series with that label; it can be given for several labels.
    Points begin at multiples of the step; the first is the one that holds `since`.
    """
    return cached.answer(queries.METRIC_POINTS, asked)


@blueprint.get("/operations")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, OperationPage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_operations(query: dict[str, Any]) -> Response:
    """What is measured, the newest first."""
    return cached.answer(queries.OPERATION_LIST, query)


def _json(answer: dict[str, Any], status_code: int = 200) -> Response:
    """Thousands of points or faults, so not through a schema."""
    return Response(orjson.dumps(answer), status_code, mimetype="application/json")
