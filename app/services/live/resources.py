"""Resources by their ids, many at once, as the views that the API shows."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.adapters.cipher import Cipher
from app.domain.live import SHOWN, Kind
from app.services.alerts import delivery_counts
from app.services.deliveries import views as delivery_views
from app.services.webhooks import shown
from models import Alert, Anomaly, DeliveryRecord, JobExecution, Webhook, WebhookHealth

_MODELS: dict[Kind, type[Any]] = {
    Kind.ALERT: Alert,
    Kind.DELIVERY: DeliveryRecord,
    Kind.WEBHOOK: Webhook,
    Kind.JOB: JobExecution,
    Kind.ANOMALY: Anomaly,
}


class Resources:
    """Reads what the stream shows. Views come in the order of their ids."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._views: dict[Kind, Callable[[Session, Sequence[Any]], list[Any]]] = {
            Kind.ALERT: _alerts,
            Kind.DELIVERY: delivery_views,
            Kind.WEBHOOK: self._webhooks,
        }

    def load(self, session: Session, kind: Kind, ids: Sequence[int]) -> list[Any]:
        """The views of those that are there."""
        model = _MODELS[kind]
        statement = select(model).where(model.id.in_(ids)).order_by(model.id)
        if kind is Kind.WEBHOOK:
            statement = statement.where(Webhook.deleted_at.is_(None))
        return self._show(session, kind, session.scalars(statement).all())

    def newest(self, session: Session, kind: Kind) -> list[Any]:
        """The views of the newest, as many as a snapshot shows, the newest first."""
        model = _MODELS[kind]
        statement = select(model).order_by(model.id.desc()).limit(SHOWN[kind])
        if kind is Kind.WEBHOOK:
            statement = statement.where(Webhook.deleted_at.is_(None))
        return self._show(session, kind, session.scalars(statement).all())

    def _show(self, session: Session, kind: Kind, rows: Sequence[Any]) -> list[Any]:
        if kind not in self._views:
            return list(rows)
        return self._views[kind](session, rows) if rows else []

    def _webhooks(self, session: Session, rows: Sequence[Webhook]) -> list[Any]:
        statuses = dict(
            session.execute(
                select(WebhookHealth.webhook_id, WebhookHealth.health_status).where(
                    WebhookHealth.webhook_id.in_([row.id for row in rows])
                )
            ).all()
        )
        return [shown(self._cipher, row, statuses.get(row.id, "unknown")) for row in rows]


def _alerts(session: Session, rows: Sequence[Alert]) -> list[Any]:
    counts = delivery_counts(session, [row.id for row in rows])
    return [(row, counts.get(row.id, {})) for row in rows]
