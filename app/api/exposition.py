"""`/metrics`, for Prometheus: outside `/api/v1`, by a token of its own or from loopback only."""

import hmac
import ipaddress
from collections.abc import Iterable, Iterator

import structlog
from flask import Blueprint, Response, request
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

import beat_schedule
from app.api.context import deps
from app.errors import Forbidden, Unauthenticated
from app.services import exposition

blueprint = Blueprint("exposition", __name__)
log = structlog.get_logger(__name__)

# Who came through a proxy on this machine looks as if he were on it.
_OF_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class _Collected(Collector):
    """What is collected already, as the encoders want it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


@blueprint.get("/metrics")
def metrics() -> Response:
    """The text format of Prometheus, or OpenMetrics where the scraper prefers it."""
    _check_scraper()
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(_Collected(list(_families()))), content_type=content_type)


def _check_scraper() -> None:
    """Raises Unauthenticated or Forbidden."""
    wanted = deps().settings.metrics_token
    if wanted is not None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        is_right = hmac.compare_digest(token.strip().encode(), wanted.encode())
        if scheme.lower() != "bearer" or not is_right:
            raise Unauthenticated("/metrics needs METRICS_TOKEN: Authorization: Bearer TOKEN.")
    elif not _is_local():
        raise Forbidden("/metrics answers this machine only, until METRICS_TOKEN is set.")


def _is_local() -> bool:
    if any(name in request.headers for name in _OF_PROXIES):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _families() -> Iterator[Metric]:
    """With the database away, what is known without it: a scrape that fails says less."""
    yield exposition.build_info()
    depths = deps().broker.queue_depths(beat_schedule.LANES)
    yield exposition.gauge("tocsin_broker_up", "1 while the broker answers.", depths is not None)
    yield exposition.broker_messages(depths or {})
    try:
        with deps().reading() as session:
            families = list(exposition.families(session))
    except SQLAlchemyError as error:
        log.info("no metrics of the database", action="metrics_partly", error=str(error))
        families = []
    yield exposition.gauge("tocsin_database_up", "1 while the database answers.", bool(families))
    yield from families
