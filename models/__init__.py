"""The tables, one file an aggregate."""

from models.accounts import ApiKey, TokenRevocation, User
from models.alerts import Alert, AlertEvent, IdempotentRequest
from models.base import Base
from models.deliveries import Delivery, DeliveryAttempt
from models.jobs import JobExecution, Worker
from models.webhooks import Webhook, WebhookHealth, WebhookHealthCheck, WebhookTraffic

__all__ = [
    "Alert",
    "AlertEvent",
    "ApiKey",
    "Base",
    "Delivery",
    "DeliveryAttempt",
    "IdempotentRequest",
    "JobExecution",
    "TokenRevocation",
    "User",
    "Webhook",
    "WebhookHealth",
    "WebhookHealthCheck",
    "WebhookTraffic",
    "Worker",
]
