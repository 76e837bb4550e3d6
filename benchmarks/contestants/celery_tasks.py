"""A Celery task for each alert, with its row in PostgreSQL or without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.adapters.embedded import Servers
from benchmarks.celery_control import CeleryServers
from benchmarks.contestants import Ready
from benchmarks.postgres import tidy_up
from benchmarks.receiver import Receiver


class CeleryTasks:
    def __init__(
        self,
        servers: Servers,
        receiver: Receiver,
        count: int,
        webhooks: int,
        folder: Path,
        *,
        with_row: bool,
    ) -> None:
        self.name = "celery-row" if with_row else "celery"
        self.title = "Celery task for each alert" + (", its row in PostgreSQL" if with_row else "")
        self.count = count
        self._receiver = receiver
        self._webhooks = webhooks
        self._with_row = with_row
        self._database_url = servers.database_url
        self._servers = CeleryServers(servers, folder)

    @contextmanager
    def ready(self, run: str) -> Iterator[Ready]:
        urls = [self._receiver.url(run, number) for number in range(self._webhooks)]
        with self._servers.opened(with_row=self._with_row) as control:
            hooks = control.make_webhooks(urls)
            turns = ((hooks[number % len(hooks)], number) for number in range(self.count))
            accepted = {control.publish(hook, number): hook.secret for hook, number in turns}
            control.put_aside()
            tidy_up(self._database_url)
            with self._servers.worker(control, self._receiver, f"{run}-warm-up") as pids:
                yield Ready(
                    pids,
                    release=control.give_back,
                    accepted=lambda: accepted,
                    is_settled=control.is_settled,
                )
