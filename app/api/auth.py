"""Sign in, stay signed in, sign out."""

import uuid
from datetime import UTC, datetime
from typing import Any

from flask import g, request
from flask_jwt_extended import create_access_token, create_refresh_token

from app.api.context import deps, principal
from app.api.openapi import Blueprint
from app.api.schemas.auth import LoginSchema, MeSchema, RefreshSchema, TicketSchema, TokensSchema
from app.domain.access import Principal
from app.errors import Conflict, Unauthenticated
from app.services import logins
from app.services.accounts import require_password, who_claims
from app.services.live import tickets
from app.services.tokens import end_if_reused, revoke
from app.settings import ACCESS_TOKEN_LIFE, REFRESH_TOKEN_LIFE

blueprint = Blueprint("auth", __name__, url_prefix="/api/v1/auth", description="Signing in")


def _tokens(user_id: int, role: str, session_id: str) -> dict[str, Any]:
    claims = {"sid": session_id, "role": role}
    return {
        "access_token": create_access_token(str(user_id), additional_claims=claims),
        "refresh_token": create_refresh_token(str(user_id), additional_claims=claims),
        "token_type": "Bearer",
        "expires_in": int(ACCESS_TOKEN_LIFE.total_seconds()),
    }


@blueprint.post("/login")
@blueprint.arguments(LoginSchema)
@blueprint.response(200, TokensSchema)
@blueprint.alt_response(401, description="The username or the password is wrong")
def login(credentials: dict[str, str]) -> dict[str, Any]:
    """Sign in with username and password.

    After five failures of one name from one address (thirty of one name, sixty from one address)
    within 15 minutes, attempts are refused unheard: for 15 s, then for twice as long each time.
    """
    username, address = credentials["username"], request.remote_addr or ""
    with deps().unit_of_work() as work:
        logins.require_hearing(work.session, work.now, username, address)
        claimed = who_claims(work.session, username)
    try:
        user = require_password(claimed, credentials["password"])
    except Unauthenticated:
        with deps().unit_of_work() as work:
            logins.note_failure(work.session, work.now, username, address)
        raise
    with deps().unit_of_work() as work:
        logins.forget_failures(work.session, username, address)
    return _tokens(user.id, user.role, uuid.uuid4().hex)


@blueprint.post("/refresh")
@blueprint.arguments(RefreshSchema, required=False)
@blueprint.response(200, TokensSchema)
def refresh(_body: dict[str, str]) -> dict[str, Any]:
    """New tokens for a refresh token, which then counts no more. Using it again ends the login: it
    is in two hands.
    """
    who = principal()
    token_id, session_id = str(who.token_id), str(who.session_id)
    with deps().unit_of_work() as work:
        expires_at = datetime.fromtimestamp(g.token_claims["exp"], UTC)
        is_first = revoke(work.session, token_id, expires_at)
        if not is_first:
            end_if_reused(work.session, work.now, token_id, session_id)
    if not is_first:
        raise Unauthenticated("This token counts no more.")
    return _tokens(who.id, who.role, session_id)


@blueprint.post("/logout")
@blueprint.response(204)
@blueprint.alt_response(409, description="API keys have no login to end")
def logout() -> None:
    """Sign out: every token of this login counts no more."""
    who = principal()
    if who.session_id is None:
        raise Conflict("An API key has no login to end; delete the key instead.")
    with deps().unit_of_work() as work:
        revoke(work.session, who.session_id, work.now + REFRESH_TOKEN_LIFE)


@blueprint.post("/ws-ticket")
@blueprint.response(200, TicketSchema)
def issue_ws_ticket() -> dict[str, Any]:
    """A ticket that opens one WebSocket, `/api/v1/ws/dashboard?ticket=…`, within 30 s.

    Browsers can send no header there, and a token in a URL ends in logs; a ticket that was used is
    worth nothing. The socket lasts as long as the token that this was asked for with.
    """
    with deps().unit_of_work() as work:
        ticket = tickets.issue(work.session, work.now, principal())
    return {"ticket": ticket, "expires_in": int(tickets.TICKET_LIFE.total_seconds())}


@blueprint.get("/me")
@blueprint.response(200, MeSchema)
def me() -> Principal:
    """Who these credentials speak for."""
    return principal()
