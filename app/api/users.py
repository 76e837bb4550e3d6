"""Users, for admins."""

from typing import Any

from app.api.context import deps, page_request
from app.api.openapi import Blueprint
from app.api.schemas.auth import UserChangeSchema, UserCreateSchema, UserPage, UserSchema
from app.api.schemas.fields import PageQuery
from app.services import accounts
from app.services.paging import page_answer
from models import User

blueprint = Blueprint("users", __name__, url_prefix="/api/v1/users", description="Who may sign in")


@blueprint.get("")
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, UserPage)
def list_users(query: dict[str, Any]) -> dict[str, Any]:
    """All users, the newest first."""
    with deps().reading() as session:
        page = accounts.list_users(session, page_request(query))
    return page_answer(page, page.items)


@blueprint.post("")
@blueprint.arguments(UserCreateSchema)
@blueprint.response(201, UserSchema)
@blueprint.alt_response(409, description="The name is taken")
def create_user(data: dict[str, Any]) -> User:
    """Make a user."""
    data = accounts.with_password_hash(data)
    with deps().unit_of_work() as work:
        return accounts.create_user(work.session, data)


@blueprint.get("/<id:user_id>")
@blueprint.response(200, UserSchema)
def get_user(user_id: int) -> User:
    """One user."""
    with deps().reading() as session:
        return accounts.get_user(session, user_id)


@blueprint.patch("/<id:user_id>")
@blueprint.arguments(UserChangeSchema)
@blueprint.response(200, UserSchema)
@blueprint.alt_response(409, description="It is the last active admin")
def change_user(changes: dict[str, Any], user_id: int) -> User:
    """Change password, role or activity."""
    changes = accounts.with_password_hash(changes)
    with deps().unit_of_work() as work:
        return accounts.change_user(work.session, work.now, user_id, changes)


@blueprint.delete("/<id:user_id>")
@blueprint.response(204)
@blueprint.alt_response(409, description="It is the last active admin")
def delete_user(user_id: int) -> None:
    """Remove a user; their tokens count no more."""
    with deps().unit_of_work() as work:
        accounts.delete_user(work.session, user_id)
