"""A steady stream of alerts for many webhooks, through Tocsin or through the Celery control."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from app.adapters.embedded import Servers
from app.settings import Settings
from benchmarks.alerts import draft
from benchmarks.celery_control import CeleryControl, CeleryServers, Hook
from benchmarks.postgres import tidy_up
from benchmarks.receiver import Receiver
from benchmarks.tocsin import Tocsin, opened

# Whoever hangs on a webhook that never answers is not waited for: all is measured by then.
STOP_WITHIN_SECONDS = 0.0


class Stream(Protocol):
    """Webhooks are numbers here: the places of their URLs."""

    def raise_for(self, numbers: Sequence[int]) -> None:
        """An alert for each of these webhooks; committed when it is back."""
        ...

    def created_at(self, numbers: Sequence[int]) -> dict[str, float]:
        """What these webhooks are owed, or were: since when, in epoch seconds, by message id."""
        ...


class Sender(Protocol):
    @property
    def name(self) -> str: ...

    def streaming(self, urls: Sequence[str], warm_up: str) -> AbstractContextManager[Stream]:
        """Its workers run, and are warm: they have delivered to the run `warm_up`."""
        ...


class TocsinSender:
    """The real service, and as many real worker processes as `make run` starts."""

    name = "Tocsin"

    def __init__(self, settings: Settings, receiver: Receiver, workers: int = 2) -> None:
        self._settings = settings
        self._receiver = receiver
        self._workers = workers

    @contextmanager
    def streaming(self, urls: Sequence[str], warm_up: str) -> Iterator[Stream]:
        with opened(self._settings) as tocsin:
            ids = [*tocsin.make_webhooks(urls, active=True)]
            tidy_up(self._settings.database_url)
            with tocsin.workers(self._workers, STOP_WITHIN_SECONDS):
                tocsin.warm_up(self._receiver.url(warm_up, 0))
                yield _TocsinStream(tocsin, ids)
            tocsin.delete(ids)


class _TocsinStream:
    def __init__(self, tocsin: Tocsin, ids: Sequence[int]) -> None:
        self._tocsin = tocsin
        self._ids = ids
        self._raised = 0

    def raise_for(self, numbers: Sequence[int]) -> None:
        self._tocsin.raise_alerts(
            [draft(self._raised + place, self._ids[number]) for place, number in enumerate(numbers)]
        )
        self._raised += len(numbers)

    def created_at(self, numbers: Sequence[int]) -> dict[str, float]:
        owed = self._tocsin.messages([self._ids[number] for number in numbers])
        return {message_id: created_at.timestamp() for message_id, _webhook, created_at in owed}


class CelerySender:
    """The control: a Celery task for each alert, four worker processes."""

    name = "Celery"

    def __init__(self, servers: Servers, receiver: Receiver, folder: Path) -> None:
        self._servers = CeleryServers(servers, folder)
        self._receiver = receiver

    @contextmanager
    def streaming(self, urls: Sequence[str], warm_up: str) -> Iterator[Stream]:
        with self._servers.opened(with_row=True) as control:
            hooks = control.make_webhooks(urls)
            with self._servers.worker(control, self._receiver, warm_up, STOP_WITHIN_SECONDS):
                yield _CeleryStream(control, hooks)


class _CeleryStream:
    def __init__(self, control: CeleryControl, hooks: Sequence[Hook]) -> None:
        self._control = control
        self._hooks = hooks
        self._raised = 0

    def raise_for(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._control.publish(self._hooks[number], self._raised)
            self._raised += 1

    def created_at(self, numbers: Sequence[int]) -> dict[str, float]:
        owed = self._control.messages([self._hooks[number] for number in numbers])
        return {message_id: created_at.timestamp() for message_id, _webhook, created_at in owed}
