"""Silences and maintenance windows."""

from typing import Any

from flask import Response

from app.api import cached
from app.api.context import deps, principal
from app.api.openapi import Blueprint
from app.api.schemas.silences import (
    DEFAULTS,
    SilenceChangeSchema,
    SilenceCreateSchema,
    SilencePage,
    SilenceQuery,
    SilenceSchema,
)
from app.services import silences
from app.services.presenters.analytics import present_silence
from app.services.queries import routing as queries

blueprint = Blueprint(
    "silences", __name__, url_prefix="/api/v1/silences", description="What is told to nobody"
)


@blueprint.post("")
@blueprint.arguments(SilenceCreateSchema)
@blueprint.response(201, SilenceSchema)
def create_silence(data: dict[str, Any]) -> dict[str, Any]:
    """Mute alerts like these for a time: they are recorded, and told once it is over."""
    with deps().unit_of_work() as work:
        full = {"starts_at": work.now} | DEFAULTS | data
        view = silences.create_silence(work.session, work.now, full, principal().name)
    return present_silence(view)


@blueprint.get("")
@blueprint.arguments(SilenceQuery, location="query")
@blueprint.response(200, SilencePage)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def list_silences(query: dict[str, Any]) -> Response:
    """Silences, the newest first."""
    return cached.answer(queries.SILENCE_LIST, query)


@blueprint.get("/<id:silence_id>")
@blueprint.response(200, SilenceSchema)
@blueprint.alt_response(304, description=cached.UNCHANGED)
def get_silence(silence_id: int) -> Response:
    """One silence."""
    return cached.answer(queries.SILENCE, {"id": silence_id})


@blueprint.put("/<id:silence_id>")
@blueprint.arguments(SilenceCreateSchema)
@blueprint.response(200, SilenceSchema)
def replace_silence(data: dict[str, Any], silence_id: int) -> dict[str, Any]:
    """Replace a silence: what is left out gets its default, so it starts now."""
    with deps().unit_of_work() as work:
        full = {"starts_at": work.now} | DEFAULTS | data
        view = silences.change_silence(work.session, work.now, silence_id, full)
    return present_silence(view)


@blueprint.patch("/<id:silence_id>")
@blueprint.arguments(SilenceChangeSchema)
@blueprint.response(200, SilenceSchema)
def change_silence(changes: dict[str, Any], silence_id: int) -> dict[str, Any]:
    """Change some fields of a silence. What it muted is looked at again at once."""
    with deps().unit_of_work() as work:
        view = silences.change_silence(work.session, work.now, silence_id, changes)
    return present_silence(view)


@blueprint.post("/<id:silence_id>/expire")
@blueprint.response(200, SilenceSchema)
@blueprint.alt_response(409, description="It has not begun")
def expire_silence(silence_id: int) -> dict[str, Any]:
    """End a silence now: what it muted is told. Twice is no error."""
    with deps().unit_of_work() as work:
        view = silences.expire_silence(work.session, work.now, silence_id)
    return present_silence(view)


@blueprint.delete("/<id:silence_id>")
@blueprint.response(204)
def delete_silence(silence_id: int) -> None:
    """Delete a silence: what it muted is told, and nothing shows that it was there."""
    with deps().unit_of_work() as work:
        silences.delete_silence(work.session, silence_id)
