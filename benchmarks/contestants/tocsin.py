"""Tocsin: alerts raised by the real service, delivered by the real worker processes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.adapters.garbage import collect_rarely
from app.services.raising import Draft
from app.settings import Settings
from benchmarks.alerts import draft
from benchmarks.contestants import Ready, hand_in
from benchmarks.postgres import tidy_up
from benchmarks.receiver import AT_ONCE, Receiver
from benchmarks.tocsin import BATCH, Tocsin, opened


@dataclass
class _Tocsins:
    """So many workers, so many webhooks, which answer as `how` says."""

    name: str
    settings: Settings
    receiver: Receiver
    count: int
    webhooks: int
    workers: int
    how: str = AT_ONCE

    @property
    def title(self) -> str:
        return f"Tocsin, {'one worker' if self.workers == 1 else 'two workers'}"

    def urls(self, run: str) -> list[str]:
        return [self.receiver.url(run, number, self.how) for number in range(self.webhooks)]


class TocsinBacklog(_Tocsins):
    """A backlog that is there when the webhooks are set active: how fast it is delivered."""

    @contextmanager
    def ready(self, run: str) -> Iterator[Ready]:
        with opened(self.settings) as tocsin:
            # Inactive: what is raised for them is queued, and nobody may take it yet.
            hooks = tocsin.make_webhooks(self.urls(run), active=False)
            for batch in _batches([*hooks], self.count):
                tocsin.raise_alerts(batch)
            accepted = tocsin.accepted(hooks)
            tidy_up(self.settings.database_url)
            with tocsin.workers(self.workers) as pids:
                tocsin.warm_up(self.receiver.url(f"{run}-warm-up", 0))
                yield Ready(
                    pids,
                    # Before the commit: from there on they may be taken, and the hint counts.
                    release=lambda: tocsin.activate([*hooks], at_last=time.monotonic),
                    accepted=lambda: accepted,
                    is_settled=lambda: tocsin.open_count([*hooks]) == 0,
                )
            tocsin.delete([*hooks])


class TocsinIntake(_Tocsins):
    """Alerts raised in batches while the workers run: from the first batch to the last receipt."""

    @contextmanager
    def ready(self, run: str) -> Iterator[Ready]:
        with opened(self.settings) as tocsin:
            hooks = tocsin.make_webhooks(self.urls(run), active=True)
            batches = _batches([*hooks], self.count)
            tidy_up(self.settings.database_url)
            with tocsin.workers(self.workers) as pids:
                tocsin.warm_up(self.receiver.url(f"{run}-warm-up", 0))
                yield Ready(
                    pids,
                    release=lambda: _raise(tocsin, batches),
                    accepted=lambda: tocsin.accepted(hooks),
                    is_settled=lambda: tocsin.open_count([*hooks]) == 0,
                )
            tocsin.delete([*hooks])


def _batches(hooks: Sequence[int], count: int) -> list[list[Draft]]:
    """So many alerts, each for one webhook, in turns."""
    drafts = [draft(number, hooks[number % len(hooks)]) for number in range(count)]
    return [drafts[begin : begin + BATCH] for begin in range(0, count, BATCH)]


def _raise(tocsin: Tocsin, batches: Sequence[Sequence[Draft]]) -> float:
    collect_rarely()  # as a web process does
    began_at = time.monotonic()
    hand_in(tocsin.raise_alerts, batches)
    return began_at
