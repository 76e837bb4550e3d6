"""The schedule: data only. Every job, its task, its cadence, and the lane that runs it.

Intervals are in seconds and aligned to the clock: a job with 10 is due at :00, :10, :20 …
"""

from typing import Final, TypedDict


class Job(TypedDict):
    task: str
    interval_seconds: int
    lane: str
    description: str


LANES: Final = ("deliver", "health", "jobs")

JOBS: Final[dict[str, Job]] = {
    "deliver": {
        "task": "alerts.deliver",
        "interval_seconds": 10,
        "lane": "deliver",
        "description": "Deliver what is due; hints do so sooner, this makes sure.",
    },
    "health-check": {
        "task": "webhooks.check_health",
        "interval_seconds": 5,
        "lane": "health",
        "description": "Check the webhooks whose next check is due.",
    },
    "beat-heartbeat": {
        "task": "beat.heartbeat",
        "interval_seconds": 10,
        "lane": "jobs",
        "description": "Show that beat and the jobs lane live; pick up runs that were forgotten.",
    },
    "dead-mans-switch": {
        "task": "heartbeat.call",
        "interval_seconds": 60,
        "lane": "jobs",
        "description": "Call HEARTBEAT_URL if all is well, so that somebody notices when it stops.",
    },
    "health-upkeep": {
        "task": "health.upkeep",
        "interval_seconds": 60,
        "lane": "jobs",
        "description": "Fold minutes of health checks into hours; settle who depends on others.",
    },
    "metrics-roll": {
        "task": "metrics.roll",
        "interval_seconds": 60,
        "lane": "jobs",
        "description": "Roll up the samples that came in; the lane does so by itself, too.",
    },
    "metrics-partitions": {
        "task": "metrics.partitions",
        "interval_seconds": 3600,
        "lane": "jobs",
        "description": "Make the tables for the samples to come, drop those past retention.",
    },
    "baseline-recalc": {
        "task": "baselines.recalculate",
        "interval_seconds": 60,
        "lane": "jobs",
        "description": "Recalculate the baselines whose schedule says so.",
    },
    "correlate-incidents": {
        "task": "incidents.correlate",
        "interval_seconds": 60,
        "lane": "jobs",
        "description": "Group operations that are off their baselines together into incidents.",
    },
    "anomalies-watch": {
        "task": "anomalies.watch",
        "interval_seconds": 10,
        "lane": "jobs",
        "description": "Feed the detectors with what is new; the lane does so by itself, too.",
    },
    "purge-history": {
        "task": "history.purge",
        "interval_seconds": 3600,
        "lane": "jobs",
        "description": "Delete history that is past its retention.",
    },
    "cache-warm-critical": {
        "task": "cache.warm_critical",
        "interval_seconds": 10,
        "lane": "jobs",
        "description": "Warm what a dashboard shows, if somebody looked lately.",
    },
    "cache-warm-high": {
        "task": "cache.warm_high",
        "interval_seconds": 30,
        "lane": "jobs",
        "description": "Warm the lists that people begin with, if somebody looked lately.",
    },
    "cache-warm-medium": {
        "task": "cache.warm_medium",
        "interval_seconds": 300,
        "lane": "jobs",
        "description": "Warm what was looked at one by one.",
    },
    "cache-warm-low": {
        "task": "cache.warm_low",
        "interval_seconds": 900,
        "lane": "jobs",
        "description": "Warm what is seldom looked at, and takes long.",
    },
    "predict-risk": {
        "task": "risk.predict",
        "interval_seconds": 300,
        "lane": "jobs",
        "description": "Predict each webhook once an hour, and say what came of older predictions.",
    },
    "train-risk-model": {
        "task": "risk.train",
        "interval_seconds": 86_400,
        "lane": "jobs",
        "description": "Train a model of risk if enough is known; look how the active one does.",
    },
}
