"""The tables, one file an aggregate."""

from models.accounts import ApiKey, FailedLogin, TokenRevocation, User, WsTicket
from models.alerts import Alert, AlertEvent, IdempotentRequest
from models.anomalies import Anomaly, DetectorState
from models.audit import AuditEntry
from models.base import Base
from models.baselines import BaselinePartial, BaselineSlot, BaselineVersion, RecalcSchedule
from models.deliveries import (
    Delivery,
    DeliveryAttempt,
    DeliveryHistory,
    DeliveryRecord,
    Redrive,
    RedriveShare,
)
from models.incidents import Incident, IncidentMember
from models.integrations import AlertmanagerAlert
from models.jobs import JobExecution, Worker
from models.metrics import (
    MetricInbox,
    MetricPart,
    MetricRollup,
    MetricSeries,
    metric_samples,
)
from models.ml import RiskModel, RiskPrediction
from models.routing import (
    AlertGroup,
    FollowUp,
    GroupNews,
    InhibitionRule,
    RoutingRule,
    Silence,
)
from models.totals import MeterTotal
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
    "AlertmanagerAlert",
    "Anomaly",
    "ApiKey",
    "AuditEntry",
    "Base",
    "BaselinePartial",
    "BaselineSlot",
    "BaselineVersion",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryHistory",
    "DeliveryPause",
    "DeliveryRecord",
    "DetectorState",
    "FailedLogin",
    "FollowUp",
    "GroupNews",
    "HealthRollupProgress",
    "HouseChange",
    "IdempotentRequest",
    "Incident",
    "IncidentMember",
    "InhibitionRule",
    "JobExecution",
    "MeterTotal",
    "MetricInbox",
    "MetricPart",
    "MetricRollup",
    "MetricSeries",
    "RecalcSchedule",
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
    "WsTicket",
    "metric_samples",
]
