"""The tables, one file an aggregate."""

from models.accounts import ApiKey, TokenRevocation, User
from models.alerts import Alert, AlertEvent, IdempotentRequest
from models.base import Base
from models.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryHistory,
    DeliveryRecord,
    Redrive,
    RedriveShare,
)
from models.jobs import JobExecution, Worker
from models.ml import RiskModel, RiskPrediction
from models.routing import (
    AlertGroup,
    FollowUp,
    GroupNews,
    InhibitionRule,
    RoutingRule,
    Silence,
)
from models.traffic import DeliveryPause, HouseChange, TrafficChange, WebhookTraffic
from models.webhooks import (
    HealthRollupProgress,
    Webhook,
    WebhookHealth,
    WebhookHealthCheck,
    WebhookHealthRollup,
)

__all__ = [
    "Alert",
    "AlertEvent",
    "AlertGroup",
    "ApiKey",
    "Base",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryHistory",
    "DeliveryPause",
    "DeliveryRecord",
    "FollowUp",
    "GroupNews",
    "HealthRollupProgress",
    "HouseChange",
    "IdempotentRequest",
    "InhibitionRule",
    "JobExecution",
    "Redrive",
    "RedriveShare",
    "RiskModel",
    "RiskPrediction",
    "RoutingRule",
    "Silence",
    "TokenRevocation",
    "TrafficChange",
    "User",
    "Webhook",
    "WebhookHealth",
    "WebhookHealthCheck",
    "WebhookHealthRollup",
    "WebhookTraffic",
    "Worker",
]
