"""Tocsin on the benchmark's servers: its settings, its services, its real worker processes."""

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cryptography.fernet import Fernet

from app.adapters.embedded import Servers
from app.api.schemas.webhooks import CHECK_DEFAULTS, DEFAULTS
from app.deps import Deps, build
from app.services.raising import Draft, raise_alerts
from app.services.webhooks import change_webhook, create_webhook, delete_webhook
from app.settings import Settings, as_environment, load_settings
from benchmarks import alerts
from benchmarks.postgres import connect, number
from benchmarks.processes import STOP_WITHIN_SECONDS, running, wait_for
from models.migrate import upgrade

START_WITHIN_SECONDS = 60.0
# As many as the API takes in one request.
BATCH = 1000
WARM_UP = 200


def settings_for(servers: Servers, folder: Path, request_timeout_seconds: int = 15) -> Settings:
    """The defaults, on these servers, and a database that is migrated."""
    settings = load_settings(
        _env_file=None,
        data_dir=folder,
        database_url=servers.database_url,
        redis_url=servers.redis_url,
        cache_redis_url=servers.cache_redis_url,
        jwt_secret_key=uuid.uuid4().hex,
        encryption_keys=Fernet.generate_key().decode(),
        egress_allow="127.0.0.0/8",
        request_timeout_seconds=request_timeout_seconds,
    )
    upgrade(settings.database_url)
    return settings


@contextmanager
def opened(settings: Settings) -> Iterator["Tocsin"]:
    deps = build(settings)
    try:
        yield Tocsin(deps)
    finally:
        deps.close()


class Tocsin:
    """The services that the API calls. Every call is a transaction of its own."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self._database_url = deps.settings.database_url

    def make_webhooks(self, urls: Sequence[str], *, active: bool) -> dict[int, str]:
        """Their ids and secrets; everything else as the API would choose it."""
        made = {}
        with self.deps.unit_of_work() as work:
            for url in urls:
                given = {
                    "name": url[-100:],
                    "url": url,
                    "is_active": active,
                    "health_check": CHECK_DEFAULTS,
                }
                view, secret = create_webhook(
                    work.session, work.events, self.deps.cipher, DEFAULTS | given
                )
                made[view.row.id] = secret
        return made

    def activate(self, webhook_ids: Sequence[int], at_last: Callable[[], float]) -> float:
        """All at once. `at_last` is called, and its answer given, right before the commit."""
        with self.deps.unit_of_work() as work:
            for webhook_id in webhook_ids:
                change_webhook(
                    work.session,
                    work.now,
                    work.events,
                    self.deps.cipher,
                    webhook_id,
                    {"is_active": True},
                )
            return at_last()

    def delete(self, webhook_ids: Sequence[int]) -> None:
        with self.deps.unit_of_work() as work:
            for webhook_id in webhook_ids:
                delete_webhook(work.session, work.now, work.events, webhook_id)

    def raise_alerts(self, drafts: Sequence[Draft]) -> None:
        with self.deps.unit_of_work() as work:
            raise_alerts(
                work.session,
                work.now,
                work.events,
                drafts,
                "benchmark",
                self.deps.settings.retry_schedule_seconds,
            )

    def messages(self, webhook_ids: Sequence[int]) -> list[tuple[str, int, datetime]]:
        """All that these webhooks were or are owed: message id, webhook id, since when."""
        with connect(self._database_url) as connection:
            rows = connection.execute(
                "SELECT webhook_message_id, webhook_id, created_at FROM pggit.deliveries"
                " WHERE webhook_id = ANY(%s)",
                [list(webhook_ids)],
            ).fetchall()
        return [(row[0], row[1], row[2]) for row in rows]

    def accepted(self, secrets: Mapping[int, str]) -> dict[str, str]:
        """The ids of these webhooks' messages, each with the secret that signs it."""
        return {
            message_id: secrets[webhook_id]
            for message_id, webhook_id, _at in self.messages([*secrets])
        }

    def open_count(self, webhook_ids: Sequence[int]) -> int:
        with connect(self._database_url) as connection:
            return number(
                connection,
                "SELECT count(*) FROM pggit.deliveries"
                " WHERE webhook_id = ANY(%s) AND status IN ('pending', 'retrying')",
                list(webhook_ids),
            )

    @contextmanager
    def workers(
        self, count: int, stop_within: float = STOP_WITHIN_SECONDS, lane: str = "deliver"
    ) -> Iterator[list[int]]:
        """Worker processes that are up; their pids."""
        commands = [
            [sys.executable, "-m", "tasks", lane, str(number)] for number in range(1, count + 1)
        ]
        settings = self.deps.settings
        log = settings.data_dir / "tocsin.log"
        with running(commands, as_environment(settings), log, stop_within) as pids:
            wait_for(lambda: self._present(pids) == count, START_WITHIN_SECONDS, "a worker")
            yield pids

    def warm_up(self, url: str) -> None:
        """Waits until the workers have delivered a first batch there."""
        (hook,) = self.make_webhooks([url], active=True)
        self.raise_alerts([alerts.draft(number, hook) for number in range(WARM_UP)])
        wait_for(lambda: self.open_count([hook]) == 0, START_WITHIN_SECONDS, "the warm-up")
        self.delete([hook])

    def _present(self, pids: Sequence[int]) -> int:
        with connect(self._database_url) as connection:
            return number(
                connection, "SELECT count(*) FROM pggit.workers WHERE pid = ANY(%s)", list(pids)
            )
