"""The audit log, for admins."""

from typing import Any

from app.api.context import deps, page_request
from app.api.openapi import Blueprint
from app.api.schemas.audit import AuditPage, AuditQuery
from app.services import audit
from app.services.paging import page_answer

blueprint = Blueprint(
    "audit", __name__, url_prefix="/api/v1/audit", description="Who changed what, from where"
)


@blueprint.get("")
@blueprint.arguments(AuditQuery, location="query")
@blueprint.response(200, AuditPage)
def list_entries(query: dict[str, Any]) -> dict[str, Any]:
    """Changes, the newest first. They are written with what they tell of, and never changed; they
    go after 400 days. In place of secrets they say "(hidden)".
    """
    request = page_request(query)
    with deps().reading() as session:
        page = audit.list_entries(session, query, request)
    return page_answer(page, page.items)
