"""The Celery application of the workers, beat and Flower. Alone in reading settings at import."""

from celery import Celery
from celery.signals import setup_logging

from app import logs
from app.adapters.queue import TRANSPORT_OPTIONS
from app.settings import load_settings

settings = load_settings()
celery = Celery(
    "tocsin",
    broker=settings.redis_url,
    events="tasks.events:RedactedEvents",
    include=[
        "tasks.baselines",
        "tasks.deliver",
        "tasks.health",
        "tasks.housekeeping",
        "tasks.prediction",
        "tasks.warming",
    ],
)
celery.conf.update(
    # The rows in PostgreSQL are the results; a result backend would be one more thing to lose.
    task_ignore_result=True,
    task_default_queue="jobs",
    task_publish_retry=False,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # Whatever happens to Redis, come back when it does.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options=TRANSPORT_OPTIONS,
    enable_utc=True,
    timezone="UTC",
)


@setup_logging.connect
def _log_our_way(**_signal: object) -> None:
    """Celery hands logging over to whoever connects here."""
    logs.configure(settings.log_level, settings.log_format, "celery")
