"""The WebSocket of the dashboard: who may, the handshake, and the socket is handed over.

flask-sock makes the handshake; then the process's own loop takes the socket (`adapters/sockets`),
and the request's thread is free again. A refusal comes after the handshake, as a close code with
a reason, since no browser shows why a handshake failed; only what is too much is refused before.
"""

from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, g, request
from flask_sock import Sock
from simple_websocket import Server
from wsproto.utilities import RemoteProtocolError

import beat_schedule
from app.adapters.sockets import POLICY_VIOLATION, Reader, take_over
from app.api.access import presented_token, who_presents
from app.api.context import EXTENSION, LIVE, deps
from app.api.errors import error_response
from app.api.schemas.alerts import AlertSchema, DeliverySchema
from app.api.schemas.anomalies import AnomalySchema
from app.api.schemas.operations import ExecutionSchema, JobSchema
from app.api.schemas.webhooks import WebhookSchema
from app.deps import Deps
from app.domain.access import Principal
from app.domain.live import ALL_TOPICS, TOPICS, Kind, subscription
from app.errors import Invalid, Unauthenticated, Unavailable
from app.services.live import tickets
from app.services.live.hub import Hub
from app.services.live.resources import Resources
from app.services.live.sights import Showing, Sights
from app.services.live.visitors import Places
from app.services.presenters.deliveries import present_alert, present_delivery
from app.services.presenters.webhooks import present_webhook

FULL_RETRY_AFTER_SECONDS = 5

blueprint = Blueprint("live", __name__, url_prefix="/api/v1/ws")
sock = Sock()

_alert, _delivery, _webhook = AlertSchema(), DeliverySchema(), WebhookSchema()
_execution, _job, _anomaly = ExecutionSchema(), JobSchema(), AnomalySchema()
SHOWING = Showing(
    by_kind={
        Kind.ALERT: lambda view: _alert.dump(present_alert(*view)),
        Kind.DELIVERY: lambda view: _delivery.dump(present_delivery(view)),
        Kind.WEBHOOK: lambda view: _webhook.dump(present_webhook(view)),
        Kind.JOB: _execution.dump,
        Kind.ANOMALY: _anomaly.dump,
    },
    job=_job.dump,
)


class _NoThread:
    """flask-sock would give each socket a thread that reads it; ours are read by one loop."""

    name = ""

    def __init__(self, target: Callable[[], None]) -> None:
        pass

    def start(self) -> None:
        pass


def register(app: Flask) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": _NoThread}
    app.register_blueprint(blueprint)
    made: Deps = app.extensions[EXTENSION]
    settings = made.settings
    sights = Sights(made.database, made.clock, Resources(made.cipher), SHOWING, beat_schedule.JOBS)
    places = Places(settings.stream_sockets, settings.stream_sockets_per_user)
    app.extensions[LIVE] = Hub(settings.redis_url, made.database, made.clock, sights, places)


def _hub() -> Hub:
    return cast("Hub", current_app.extensions[LIVE])


@blueprint.before_request
def _admit() -> None:
    """Find out who it is, and keep a place for him."""
    g.topics, g.visitor, g.refusal, g.is_taken_over = _topics(), None, None, False
    # Compressed, each message would have to be made for each reader anew.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    try:
        _check_origin()
        visitor = _visitor()
    except Unauthenticated as error:
        g.refusal = error.detail
        return
    if not _hub().places.take(visitor.key):
        raise Unavailable(
            "There are too many sockets already.", retry_after_seconds=FULL_RETRY_AFTER_SECONDS
        )
    g.visitor = visitor


def _topics() -> int:
    asked = request.args.get("topics")
    if asked is None:
        return ALL_TOPICS
    try:
        return subscription(filter(None, asked.split(",")))
    except KeyError:
        raise Invalid({"topics": [f"Must be of {', '.join(TOPICS)}."]}) from None


def _since() -> int | None:
    asked = request.args.get("since", "")
    # What is no number of ours was never sent: a snapshot is the answer.
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 19 else None


def _check_origin() -> None:
    """A page of somebody else's must not read along with the cookies or tokens of ours."""
    origin = request.headers.get("Origin")
    if origin is None or origin in deps().settings.cors_origins:
        return
    try:
        is_own = urlsplit(origin).netloc.lower() == request.host.lower()
    except ValueError:
        is_own = False
    if not is_own:
        raise Unauthenticated("this origin is not allowed")


def _visitor() -> Principal:
    ticket = request.args.get("ticket")
    if ticket is None:
        return who_presents(presented_token())
    with deps().unit_of_work() as work:
        found = tickets.redeem(work.session, work.now, ticket)
    if found is None:
        raise Unauthenticated("This ticket is unknown, used or too old.")
    return found


@sock.route("/dashboard", bp=blueprint)
def dashboard(ws: Server) -> None:
    """How things are, then what changes. See docs/stream.md."""
    visitor: Principal | None = g.visitor
    expires_at = None
    if visitor is not None and visitor.expires_at is not None:
        left = (visitor.expires_at - deps().clock.now()).total_seconds()
        expires_at = deps().clock.monotonic() + left
    reader = Reader(take_over(ws.sock), ws.ws, visitor, g.topics, 0, expires_at)
    ws.connected = False  # for flask-sock it is over
    g.is_taken_over = True
    if visitor is None:
        _hub().refuse(reader, POLICY_VIOLATION, g.refusal)
    else:
        _hub().welcome(reader, _since())


@blueprint.after_request
def _say_what_it_was(response: Response) -> Response:
    if g.get("is_taken_over"):
        response.status_code = 101  # for the log; nobody else gets this response
    return response


@blueprint.teardown_request
def _give_back(_error: BaseException | None) -> None:
    if g.get("visitor") is not None and not g.is_taken_over:
        _hub().places.give_back(g.visitor.key)


@blueprint.errorhandler(RemoteProtocolError)
def _no_handshake(_error: RemoteProtocolError) -> Response:
    return error_response(400, "This is no WebSocket handshake of version 13.")
