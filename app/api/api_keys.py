"""Keys for machines, for admins."""

from typing import Any

from app.api.context import deps, page_request, principal
from app.api.openapi import Blueprint
from app.api.schemas.auth import ApiKeyCreateSchema, ApiKeyPage, ApiKeyWithKeySchema
from app.api.schemas.fields import PageQuery
from app.services import api_keys
from app.services.paging import page_answer

blueprint = Blueprint(
    "api-keys", __name__, url_prefix="/api/v1/api-keys", description="Keys for machines"
)


@blueprint.get("")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, ApiKeyPage)
def list_api_keys(query: dict[str, Any]) -> dict[str, Any]:
    """All keys, without the keys themselves."""
    with deps().reading() as session:
        page = api_keys.list_api_keys(session, page_request(query))
    return page_answer(page, page.items)


@blueprint.post("")
@blueprint.arguments(ApiKeyCreateSchema)
@blueprint.response(201, ApiKeyWithKeySchema)
def create_api_key(data: dict[str, Any]) -> dict[str, Any]:
    """Make a key. It is shown this once."""
    who = principal()
    with deps().unit_of_work() as work:
        row, key = api_keys.create_api_key(
            work.session, who.id if who.kind == "user" else None, data
        )
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "role": row.role,
        "created_at": row.created_at,
        "last_used_at": None,
        "expires_at": row.expires_at,
        "key": key,
    }


@blueprint.delete("/<id:key_id>")
@blueprint.response(204)
def delete_api_key(key_id: int) -> None:
    """Delete a key; it counts no more."""
    with deps().unit_of_work() as work:
        api_keys.delete_api_key(work.session, key_id)
