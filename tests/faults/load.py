"""A steady load of alerts, with a journal of what was sent and what was answered.

Each alert has a name of its own in `labels.ref`. Where an answer is lost (a reset, a time-out,
a 5xx) nobody can tell what became of the request: half of the time the sender insists, with the
same Idempotency-Key, until it is told; half of the time it gives up, as a client that died would.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests

from tests.faults.ledger import Answer
from tests.harness.client import Client

SENDERS = 4
BATCH = 10
BATCHES_SHARE = 0.1
EVERYBODY_SHARE = 0.1
TWO_TARGETS_SHARE = 0.2
RESOLVED_SHARE = 0.05
# So many of the same sender later: most of those who are told of it were told of the beginning.
RESOLVED_AFTER = 8
INSISTS_SHARE = 0.5
INSIST_AGAIN_SECONDS = 0.2
INSIST_SECONDS = 60.0
SEVERITIES = ("info", "warning", "critical")
FIRING, RESOLVED = "alert.firing", "alert.resolved"


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook of this run; `path` names it at the receiver."""

    path: str
    webhook_id: int
    secret: str


@dataclass(slots=True)
class Raised:
    """An alert that was sent, to whom, and what is known of it. Times are monotonic."""

    ref: str
    alert: Mapping[str, Any]
    hooks: Sequence[Hook]
    sent_at: float
    answer: Answer = Answer.UNKNOWN
    answered_at: float = 0.0
    alert_id: int | None = None
    resolve_sent: bool = False


def key_of(ref: str, event_type: str, path: str) -> str:
    """The name of one message of the ledger."""
    return f"{ref} {event_type} {path}"


@dataclass
class Journal:
    """All that was raised. Senders append, anybody reads."""

    raised: list[Raised] = field(default_factory=list)

    def attempted(self) -> dict[str, Answer]:
        """Every message that was asked for."""
        found: dict[str, Answer] = {}
        for one in list(self.raised):
            for hook in one.hooks:
                found[key_of(one.ref, FIRING, hook.path)] = one.answer
                if one.resolve_sent:
                    found[key_of(one.ref, RESOLVED, hook.path)] = Answer.CONDITIONAL
        return found

    def accepted(self) -> dict[str, float]:
        """Every message to which the system said yes, and when."""
        return {
            key_of(one.ref, FIRING, hook.path): one.answered_at
            for one in list(self.raised)
            if one.answer is Answer.ACCEPTED
            for hook in one.hooks
        }


class Sender(Protocol):
    """For one thread."""

    def send(self, some: Sequence[Raised]) -> dict[int, int] | None:
        """The ids of those that were accepted, by their index; None when nobody can tell."""
        ...

    def resolve(self, one: Raised) -> None:
        """Ask for the end of an alert that was accepted."""
        ...


class RestSender:
    """As a client of the API does it: one alert by itself, several as a batch."""

    def __init__(self, url: str, key: str) -> None:
        self._client = Client(url, key)

    def send(self, some: Sequence[Raised]) -> dict[int, int] | None:
        path, body = "/api/v1/alerts", some[0].alert
        if len(some) > 1:
            path, body = "/api/v1/alerts/batch", {"alerts": [one.alert for one in some]}
        try:
            answer = self._client.post(path, json=body, headers={"Idempotency-Key": some[0].ref})
            said = answer.json()
        except requests.RequestException:
            return None
        if answer.status_code >= 500:
            return None
        if len(some) == 1:
            return {0: said["id"]} if answer.status_code == 201 else {}
        return {one["index"]: one["id"] for one in said.get("created", ())}

    def resolve(self, one: Raised) -> None:
        # Whether it came through or not, the record says.
        with suppress(requests.RequestException):
            self._client.post(f"/api/v1/alerts/{one.alert_id}/resolve")


class Load:
    """Senders that run between `start` and `stop`, `rate` alerts a second together."""

    def __init__(
        self, sender: Callable[[], Sender], hooks: Sequence[Hook], rate: float, seed: int
    ) -> None:
        self.journal = Journal()
        self._hooks = hooks
        self._pause = SENDERS * (1 - BATCHES_SHARE + BATCHES_SHARE * BATCH) / rate
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run, args=(sender, number, random.Random(f"{seed} {number}"))
            )
            for number in range(SENDERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when nobody insists on an answer any more."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, make: Callable[[], Sender], number: int, chance: random.Random) -> None:
        sender = make()
        earlier: deque[Raised] = deque(maxlen=RESOLVED_AFTER)
        due = time.monotonic() + chance.uniform(0, self._pause)
        for refs in self._refs(number, chance):
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            # Who was held up for long does not make up for it by a burst.
            due = max(due + self._pause, time.monotonic() - 1)
            some = [self._make(ref, chance) for ref in refs]
            self.journal.raised += some
            self._raise(sender, some, chance)
            earlier.append(some[0])
            one = earlier[0]
            if one.answer is Answer.ACCEPTED and chance.random() < RESOLVED_SHARE:
                one.resolve_sent = True
                sender.resolve(one)

    def _refs(self, number: int, chance: random.Random) -> Iterator[list[str]]:
        count = 0
        while True:
            size = BATCH if chance.random() < BATCHES_SHARE else 1
            yield [f"{number}-{count + index}" for index in range(size)]
            count += size

    def _make(self, ref: str, chance: random.Random) -> Raised:
        alert: dict[str, Any] = {
            "title": f"Disk almost full on {ref}",
            "severity": chance.choice(SEVERITIES),
            "message": "91 % of /var/lib/postgresql is used.",
            "source": "storm",
            "labels": {"ref": ref},
        }
        hooks = self._hooks
        luck = chance.random()
        if luck >= EVERYBODY_SHARE:
            count = 2 if luck < EVERYBODY_SHARE + TWO_TARGETS_SHARE else 1
            hooks = chance.sample(list(self._hooks), count)
            alert["webhook_ids"] = [hook.webhook_id for hook in hooks]
        return Raised(ref, alert, hooks, time.monotonic())

    def _raise(self, sender: Sender, some: Sequence[Raised], chance: random.Random) -> None:
        insists = chance.random() < INSISTS_SHARE
        give_up_at = time.monotonic() + INSIST_SECONDS
        while (accepted := sender.send(some)) is None:
            if not insists or time.monotonic() > give_up_at:
                return
            time.sleep(INSIST_AGAIN_SECONDS)
        for index, one in enumerate(some):
            one.answered_at = time.monotonic()
            one.alert_id = accepted.get(index)
            one.answer = Answer.REFUSED if one.alert_id is None else Answer.ACCEPTED
