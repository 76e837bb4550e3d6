"""The Flask application, put together."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_cors import CORS
from flask_jwt_extended import JWTManager

from app import deps as composition
from app import logs
from app.adapters.rate_limit import RateLimiter
from app.api import (
    access,
    alerts,
    anomalies,
    api_keys,
    audit,
    auth,
    baselines,
    cache,
    dashboard,
    deliveries,
    errors,
    explain,
    exposition,
    health,
    incidents,
    inhibition_rules,
    integrations,
    jobs,
    live,
    metrics,
    prediction,
    redrives,
    requests,
    routing,
    routing_rules,
    silences,
    system,
    traffic,
    users,
    webhook_health,
    webhooks,
)
from app.api.context import EXTENSION
from app.api.limits import RequestLimit
from app.api.openapi import complete_document, make_api
from app.api.short_way import ShortWay
from app.settings import (
    ACCESS_TOKEN_LIFE,
    REFRESH_TOKEN_LIFE,
    TOKEN_AUDIENCE,
    TOKEN_ISSUER,
    Settings,
    load_settings,
)
from app.web import pages

RESOURCES = (
    health,
    auth,
    users,
    api_keys,
    audit,
    webhooks,
    webhook_health,
    alerts,
    integrations,
    explain,
    deliveries,
    redrives,
    routing_rules,
    silences,
    inhibition_rules,
    routing,
    traffic,
    metrics,
    baselines,
    incidents,
    anomalies,
    prediction,
    jobs,
    cache,
    dashboard,
    system,
)


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No view of ours is a coroutine. Flask looks eleven times in each request."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """The application with its own dependencies. Without settings they are read now."""
    settings = settings or load_settings()
    logs.configure(settings.log_level, settings.log_format, "web")
    app = _App("app", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    deps = app.extensions[EXTENSION] = composition.build(settings)
    _tokens(app, settings)
    CORS(
        app,
        resources={"/api/*": {"origins": list(settings.cors_origins)}},
        expose_headers=[
            "X-Request-ID",
            "Retry-After",
            "RateLimit-Remaining",
            "RateLimit-Reset",
            "ETag",
            "Age",
            "Warning",
        ],
    )

    # In this order: an id and limits, who it is, how often, and whether they may.
    requests.register(app)
    app.before_request(access.identify)
    limit = RequestLimit(
        RateLimiter(
            settings.redis_url,
            window_seconds=settings.rate_limit_window_seconds,
            processes=settings.web_concurrency,
        ),
        settings,
    )
    app.before_request(limit.check)
    app.after_request(limit.tell)
    app.before_request(access.authorize)
    errors.register(app)

    api = make_api(app)
    for resource in RESOURCES:
        api.register_blueprint(resource.blueprint)
    app.register_blueprint(exposition.blueprint)
    app.register_blueprint(pages.blueprint)
    live.register(app)
    access.check_table(app)
    complete_document(app, api)
    app.wsgi_app = ShortWay(app, deps, limit)  # type: ignore[method-assign]
    return app


def _tokens(app: Flask, settings: Settings) -> None:
    app.config.update(
        JWT_SECRET_KEY=settings.jwt_secret_key,
        JWT_ALGORITHM="HS256",
        JWT_DECODE_ALGORITHMS=["HS256"],
        JWT_ENCODE_ISSUER=TOKEN_ISSUER,
        JWT_DECODE_ISSUER=TOKEN_ISSUER,
        JWT_ENCODE_AUDIENCE=TOKEN_AUDIENCE,
        JWT_DECODE_AUDIENCE=TOKEN_AUDIENCE,
        JWT_ACCESS_TOKEN_EXPIRES=ACCESS_TOKEN_LIFE,
        JWT_REFRESH_TOKEN_EXPIRES=REFRESH_TOKEN_LIFE,
    )
    JWTManager(app)
