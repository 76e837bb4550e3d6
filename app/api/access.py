"""Who is asking, and may they: before every request, by a table that is data.

An endpoint that the table doesn't name is refused at boot, so nothing is open by mistake.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import jwt
import orjson
from flask import Flask, current_app, g, request
from flask_jwt_extended import decode_token
from flask_jwt_extended.exceptions import JWTExtendedException

from app.adapters.cache.entry import Answer
from app.api.context import deps, wants_fresh
from app.domain.access import Principal, Role, may
from app.domain.audit import Actor
from app.errors import Forbidden, NotFound, TocsinError, Unauthenticated, Unavailable
from app.services.api_keys import KEY_PREFIX, find_api_key
from app.services.audit import act_as
from app.services.queries.tokens import PRINCIPAL
from app.services.tokens import end_if_reused

PUBLIC = None
# The least role that each endpoint asks for.
ACCESS: dict[str, Role | None] = {
    "health.health": PUBLIC,
    "health.live": PUBLIC,
    "health.ready": PUBLIC,
    "health.deep": PUBLIC,
    "auth.login": PUBLIC,
    "auth.refresh": Role.VIEWER,
    "auth.logout": Role.VIEWER,
    "auth.me": Role.VIEWER,
    "auth.issue_ws_ticket": Role.VIEWER,
    "audit.list_entries": Role.ADMIN,
    "users.list_users": Role.ADMIN,
    "users.create_user": Role.ADMIN,
    "users.get_user": Role.ADMIN,
    "users.change_user": Role.ADMIN,
    "users.delete_user": Role.ADMIN,
    "api-keys.list_api_keys": Role.ADMIN,
    "api-keys.create_api_key": Role.ADMIN,
    "api-keys.delete_api_key": Role.ADMIN,
    "webhooks.list_webhooks": Role.VIEWER,
    "webhooks.create_webhook": Role.ADMIN,
    "webhooks.get_webhook": Role.VIEWER,
    "webhooks.replace_webhook": Role.ADMIN,
    "webhooks.change_webhook": Role.ADMIN,
    "webhooks.enable_webhook": Role.ADMIN,
    "webhooks.delete_webhook": Role.ADMIN,
    "webhook-health.get_health": Role.VIEWER,
    "webhook-health.get_health_history": Role.VIEWER,
    "webhook-health.get_health_timeline": Role.VIEWER,
    "webhook-health.get_badge": Role.VIEWER,
    "webhook-health.check_now": Role.OPERATOR,
    "webhooks.test": Role.OPERATOR,
    "webhooks.preview": Role.VIEWER,
    "webhooks.rotate_secret": Role.ADMIN,
    "webhooks.list_webhook_deliveries": Role.VIEWER,
    "alerts.list_alerts": Role.VIEWER,
    "alerts.create_alert": Role.OPERATOR,
    "alerts.create_alerts": Role.OPERATOR,
    "alerts.acknowledge_alerts": Role.OPERATOR,
    "alerts.get_alert": Role.VIEWER,
    "alerts.list_alert_deliveries": Role.VIEWER,
    "alerts.acknowledge_alert": Role.OPERATOR,
    "alerts.resolve_alert": Role.OPERATOR,
    "alerts.snooze_alert": Role.OPERATOR,
    "alerts.unsnooze_alert": Role.OPERATOR,
    "deliveries.list_deliveries": Role.VIEWER,
    "deliveries.get_delivery": Role.VIEWER,
    "deliveries.retry_delivery": Role.OPERATOR,
    "redrives.list_dead_letters": Role.VIEWER,
    "redrives.summarize_dead_letters": Role.VIEWER,
    "redrives.begin_redrive": Role.OPERATOR,
    "redrives.list_redrives": Role.VIEWER,
    "redrives.get_redrive": Role.VIEWER,
    "redrives.cancel_redrive": Role.OPERATOR,
    "explain.explain_alert": Role.VIEWER,
    "routing-rules.list_rules": Role.VIEWER,
    "routing-rules.create_rule": Role.ADMIN,
    "routing-rules.get_rule": Role.VIEWER,
    "routing-rules.replace_rule": Role.ADMIN,
    "routing-rules.change_rule": Role.ADMIN,
    "routing-rules.delete_rule": Role.ADMIN,
    "silences.list_silences": Role.VIEWER,
    "silences.create_silence": Role.OPERATOR,
    "silences.get_silence": Role.VIEWER,
    "silences.replace_silence": Role.OPERATOR,
    "silences.change_silence": Role.OPERATOR,
    "silences.expire_silence": Role.OPERATOR,
    "silences.delete_silence": Role.OPERATOR,
    "inhibition-rules.list_rules": Role.VIEWER,
    "inhibition-rules.create_rule": Role.ADMIN,
    "inhibition-rules.get_rule": Role.VIEWER,
    "inhibition-rules.replace_rule": Role.ADMIN,
    "inhibition-rules.change_rule": Role.ADMIN,
    "inhibition-rules.delete_rule": Role.ADMIN,
    "routing.test": Role.VIEWER,
    "traffic.overview": Role.VIEWER,
    "traffic.history": Role.VIEWER,
    "traffic.pause": Role.OPERATOR,
    "traffic.resume": Role.OPERATOR,
    "traffic.webhook_traffic": Role.VIEWER,
    "traffic.webhook_traffic_history": Role.VIEWER,
    "traffic.open_gate": Role.OPERATOR,
    "anomalies.list_anomalies": Role.VIEWER,
    "integrations.alertmanager": Role.OPERATOR,
    "metrics.take_in_samples": Role.OPERATOR,
    "metrics.query": Role.VIEWER,
    "metrics.list_operations": Role.VIEWER,
    "baselines.list_baselines": Role.VIEWER,
    "baselines.list_versions": Role.VIEWER,
    "baselines.recalculate": Role.OPERATOR,
    "baselines.roll_back": Role.OPERATOR,
    "baselines.list_schedules": Role.VIEWER,
    "baselines.create_schedule": Role.ADMIN,
    "baselines.get_schedule": Role.VIEWER,
    "baselines.replace_schedule": Role.ADMIN,
    "baselines.change_schedule": Role.ADMIN,
    "baselines.delete_schedule": Role.ADMIN,
    "incidents.list_incidents": Role.VIEWER,
    "incidents.get_incident": Role.VIEWER,
    "prediction.list_models": Role.VIEWER,
    "prediction.get_model": Role.VIEWER,
    "prediction.activate_model": Role.ADMIN,
    "prediction.webhook_risk": Role.VIEWER,
    "jobs.list_jobs": Role.VIEWER,
    "jobs.list_executions": Role.VIEWER,
    "jobs.run_job": Role.OPERATOR,
    "cache.get_stats": Role.VIEWER,
    "cache.get_health": Role.VIEWER,
    "cache.warm": Role.OPERATOR,
    "cache.invalidate": Role.OPERATOR,
    "dashboard.get_queue": Role.VIEWER,
    "dashboard.get_deliveries": Role.VIEWER,
    "dashboard.get_webhooks": Role.VIEWER,
    "dashboard.get_alerts": Role.VIEWER,
    "system.info": Role.VIEWER,
    # It looks itself who asks: a token of its own, or somebody on this machine.
    "exposition.metrics": PUBLIC,
    # It refuses by itself: after the handshake, since no browser shows why one failed.
    "live.dashboard": PUBLIC,
    "web.docs": PUBLIC,
    "web.docs_asset": PUBLIC,
    "web.dashboard": PUBLIC,
    "web.dashboard_asset": PUBLIC,
    "api-docs.openapi_json": PUBLIC,
}
# The one endpoint that takes a refresh token, and takes nothing else.
REFRESH_ENDPOINT = "auth.refresh"
# What changes nothing.
READS = frozenset({"GET", "HEAD"})
# Promise 7.
REVOKED_WITHIN_SECONDS = 30.0
AGAIN_SECONDS = 5
# As many tokens as may be in use at a time; each is about a kilobyte.
TOKENS_KNOWN = 4096


def check_table(app: Flask) -> None:
    """Raises RuntimeError where the table and the routes differ."""
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    if endpoints != set(ACCESS):
        raise RuntimeError(f"the access table is not the routes: {endpoints ^ set(ACCESS)}")


def _needed_role() -> Role | None:
    """What this request asks for. A browser's preflight carries no token, and changes nothing."""
    if request.endpoint is None or request.method == "OPTIONS":
        return PUBLIC
    return ACCESS[request.endpoint]


def identify() -> None:
    """Find out who asks. A failure is kept, so that the rate limit is counted first."""
    g.principal = None
    g.identity_error = None
    act_as(None)
    if _needed_role() is PUBLIC:
        return
    try:
        who = g.principal = _principal()
    except TocsinError as error:
        g.identity_error = error
        return
    act_as(Actor(who.kind, who.id, who.name, request.remote_addr, g.request_id))


def authorize() -> None:
    """Refuse who is unknown, or may not."""
    needed = _needed_role()
    if needed is PUBLIC:
        return
    if g.identity_error is not None:
        raise g.identity_error
    if not may(g.principal.role, needed):
        raise Forbidden(f"This needs the role {needed}; yours is {g.principal.role}.")


def presented_token() -> str:
    """The token of this request. Raises Unauthenticated when there is none."""
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    if header and scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header must be: Bearer TOKEN.")
    token = token.strip() or request.args.get("token", "")
    if not token and request.endpoint == REFRESH_ENDPOINT and request.is_json:
        try:
            body = request.get_json(silent=True)
        except RecursionError:
            body = None  # nested too deeply to hold a token
        token = str(body.get("refresh_token", "")) if isinstance(body, dict) else ""
    if not token:
        raise Unauthenticated("A token is needed: Authorization: Bearer TOKEN.")
    return token


def _principal() -> Principal:
    return who_presents(presented_token())


def who_presents(token: str) -> Principal:
    """Who an access token or an API key speaks for. Raises Unauthenticated."""
    if token.startswith(KEY_PREFIX) and request.endpoint != REFRESH_ENDPOINT:
        return _machine(token)
    claims = _claims(token)
    wanted = "refresh" if request.endpoint == REFRESH_ENDPOINT else "access"
    if claims.get("type") != wanted:
        raise Unauthenticated(f"This is no {wanted} token.")
    g.token_claims = claims
    found = _user(token_arguments(claims))
    return replace(found, expires_at=datetime.fromtimestamp(claims["exp"], UTC))


def token_arguments(claims: Mapping[str, Any]) -> dict[str, Any]:
    """What `PRINCIPAL` is asked with for a token of these claims."""
    return {
        "user_id": int(claims["sub"]),
        "token_id": claims["jti"],
        "session_id": claims["sid"],
    }


def _user(token: Mapping[str, Any]) -> Principal:
    """Who a good token speaks for, as the database says; to read, as it said a moment ago.

    While it is away, who was let in lately still is, to what the cache has: for as long as a
    revocation may take to be heard of, or longer where it would be heard of otherwise.
    """
    is_exact = request.method not in READS or wants_fresh()
    try:
        answer = deps().reader.get(PRINCIPAL, token, fresh=is_exact)
    except NotFound as error:
        if request.endpoint == REFRESH_ENDPOINT:
            with deps().unit_of_work() as work:
                end_if_reused(work.session, work.now, token["token_id"], token["session_id"])
        raise Unauthenticated(error.detail) from None
    if answer.is_stale:
        _check_still_trusted(answer)
    found = orjson.loads(answer.entry.body)
    return Principal(
        "user",
        found["id"],
        found["name"],
        Role(found["role"]),
        token["session_id"],
        token["token_id"],
    )


def _check_still_trusted(answer: Answer) -> None:
    hears = deps().cache.listens()
    if answer.age > REVOKED_WITHIN_SECONDS and not hears:
        raise Unavailable(
            "Nobody can say now whether this token counts.", retry_after_seconds=AGAIN_SECONDS
        )
    if deps().reader.is_refuted(PRINCIPAL, answer):
        raise Unavailable(
            "What this token counts for was changed, and can't be read now.",
            retry_after_seconds=AGAIN_SECONDS,
        )


def _machine(key: str) -> Principal:
    with deps().unit_of_work() as work:
        row = find_api_key(work.session, work.now, key)
    if row is None:
        raise Unauthenticated("This API key is unknown or has expired.")
    return Principal("api_key", row.id, row.name, Role(row.role), expires_at=row.expires_at)


def _claims(token: str) -> Mapping[str, Any]:
    try:
        claims = _decoded(token, current_app.config["JWT_SECRET_KEY"])
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("This token has expired.") from None
    except (jwt.PyJWTError, JWTExtendedException, ValueError):
        raise Unauthenticated("This token is not good.") from None
    if not str(claims.get("sub", "")).isdigit() or not {"exp", "sid"} <= claims.keys():
        raise Unauthenticated("This token is not good.")
    if claims["exp"] <= time.time():
        raise Unauthenticated("This token has expired.")
    return claims


@lru_cache(TOKENS_KNOWN)
def _decoded(token: str, _secret: str) -> Mapping[str, Any]:
    """A signature that was good stays good. Not so the time: who calls looks at that."""
    return MappingProxyType(decode_token(token))
