"""One real worker process, a long backlog: how fast, and with how much memory, over time."""

import time
from collections.abc import Iterator

import psutil

from app.settings import Settings
from benchmarks.backlog_report import Drain, Sample
from benchmarks.fill import HISTORY_FROM
from benchmarks.ledger import balance
from benchmarks.postgres import connect, number
from benchmarks.receiver import Receiver
from benchmarks.tocsin import opened

LOOK_EVERY_SECONDS = 0.1
WITHIN_SECONDS = 180.0


def drain(
    settings: Settings,
    receiver: Receiver,
    run: str,
    expected: int,
) -> Drain:
    """Lets one worker have it until so many were received; it ends what it has in flight."""
    with opened(settings) as tocsin, tocsin.workers(1) as pids:
        samples = list(_samples(receiver, run, pids[0], expected))
    ledger = receiver.ledger(run)
    with connect(settings.database_url) as connection:
        delivered = connection.execute(
            "SELECT webhook_message_id FROM pggit.alert_delivery_history WHERE id < %s",
            [HISTORY_FROM],
        ).fetchall()
        hot = number(connection, "SELECT count(*) FROM pggit.alert_delivery_queue")
        left = number(
            connection,
            "SELECT count(*) FROM pggit.alert_delivery_queue WHERE status = 'delivered'",
        )
    unfinished = None
    if samples[-1].received < expected:
        unfinished = f"{samples[-1].received} of {expected} in {WITHIN_SECONDS:g} s"
    return Drain(
        expected=expected,
        samples=samples,
        duplicated=ledger.received - len(ledger.received_at),
        hot_rows=hot,
        delivered_hot_rows=left,
        moved_rows=len(delivered),
        void=balance([message_id for (message_id,) in delivered], ledger) or unfinished,
    )


def _samples(receiver: Receiver, run: str, pid: int, expected: int) -> Iterator[Sample]:
    process = psutil.Process(pid)
    began_at = time.monotonic()
    received = 0
    while received < expected and time.monotonic() < began_at + WITHIN_SECONDS:
        time.sleep(LOOK_EVERY_SECONDS)
        received = receiver.count(run)
        yield Sample(time.monotonic() - began_at, received, process.memory_info().rss)
