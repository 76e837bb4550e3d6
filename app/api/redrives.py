"""Dead letters, and redrives that try them again."""

from typing import Any

from flask import Response, jsonify

from app.api.context import deps, page_request, principal
from app.api.openapi import Blueprint
from app.api.schemas.fields import PageQuery
from app.api.schemas.redrives import (
    DeadLetterFilter,
    DeadLetterPage,
    DeadLetterQuery,
    DeadLetterSummarySchema,
    RedriveDetailSchema,
    RedrivePage,
    RedrivePreviewSchema,
    RedriveRequestSchema,
)
from app.services import dead_letters, redrive
from app.services.paging import page_answer
from app.services.presenters.deliveries import (
    present_counts,
    present_dead_letter,
    present_delivery,
    present_redrive,
)

blueprint = Blueprint(
    "redrives",
    __name__,
    url_prefix="/api/v1/deliveries",
    description="What failed, and trying it again",
)
_preview = RedrivePreviewSchema()
_redrive = RedriveDetailSchema()


@blueprint.get("/dead-letters")
@blueprint.arguments(DeadLetterQuery, location="query")
@blueprint.response(200, DeadLetterPage)
def list_dead_letters(query: dict[str, Any]) -> dict[str, Any]:
    """Deliveries that failed, the newest first, each with why and with its last attempt."""
    request = page_request(query)
    with deps().reading() as session:
        page = dead_letters.list_dead_letters(session, query, request)
    return page_answer(page, [present_dead_letter(letter) for letter in page.items])


@blueprint.get("/dead-letters/summary")
@blueprint.arguments(DeadLetterFilter, location="query")
@blueprint.response(200, DeadLetterSummarySchema)
def summarize_dead_letters(query: dict[str, Any]) -> dict[str, Any]:
    """How many deliveries failed, by webhook and by reason."""
    with deps().reading() as session:
        return present_counts(dead_letters.count_ended(session, query))


@blueprint.post("/redrive")
@blueprint.arguments(RedriveRequestSchema)
@blueprint.response(202, RedriveDetailSchema)
@blueprint.alt_response(
    200, schema=RedrivePreviewSchema, description="dry_run: what matches; nothing was changed"
)
def begin_redrive(data: dict[str, Any]) -> Response:
    """Try again what ended without success, each with its whole schedule and the same `webhook-id`.

    It goes on by itself, no faster than each webhook takes it, and lets fresh alerts go first.
    `GET /deliveries/redrives/{id}` shows how far it is.
    """
    filters = data["filter"]
    if data["dry_run"]:
        with deps().reading() as session:
            found = redrive.preview(session, filters)
        sample = [present_delivery(view) for view in found.sample]
        return jsonify(_preview.dump(present_counts(found.counts) | {"sample": sample}))
    with deps().unit_of_work() as work:
        view = redrive.start(work.session, work.now, filters, principal().name)
    answer = jsonify(_redrive.dump(present_redrive(view)))
    answer.status_code = 202
    return answer


@blueprint.get("/redrives")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, RedrivePage)
def list_redrives(query: dict[str, Any]) -> dict[str, Any]:
    """Redrives, the newest first."""
    with deps().reading() as session:
        page = redrive.list_redrives(session, page_request(query))
    return page_answer(page, [present_redrive(view) for view in page.items])


@blueprint.get("/redrives/<id:redrive_id>")
@blueprint.response(200, RedriveDetailSchema)
def get_redrive(redrive_id: int) -> dict[str, Any]:
    """One redrive, and how far it is."""
    with deps().reading() as session:
        return present_redrive(redrive.get_redrive(session, redrive_id))


@blueprint.post("/redrives/<id:redrive_id>/cancel")
@blueprint.response(200, RedriveDetailSchema)
def cancel_redrive(redrive_id: int) -> dict[str, Any]:
    """Stop a redrive. What it requeued and nobody has attempted yet has failed again, as
    `redrive_cancelled`; what was attempted goes on. Twice is no error.
    """
    with deps().unit_of_work() as work:
        view = redrive.cancel_redrive(work.session, work.now, work.events, redrive_id)
    return present_redrive(view)
