"""How webhooks in the field behave, by the paths of the sample.

A character is asked once for each request, one at a time, with the seconds since the receiver
began; it keeps what it must remember.
"""

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

SEED = 7


@dataclass(frozen=True)
class Answer:
    """`status` None: the line is dropped without a word."""

    status: int | None = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    after_seconds: float = 0.0


class Character(Protocol):
    def check(self, at: float) -> Answer:
        """To a health check."""

    def message(self, at: float) -> Answer:
        """To a message that is genuine."""


class Steady:
    """Takes everything, within these bounds of seconds; another `status` refuses everything."""

    def __init__(self, least: float, most: float, status: int = 204) -> None:
        self._least, self._most, self._status = least, most, status
        self._random = random.Random(SEED)

    def check(self, at: float) -> Answer:
        return Answer(after_seconds=self._random.uniform(self._least, self._most))

    def message(self, at: float) -> Answer:
        return Answer(self._status, after_seconds=self._random.uniform(self._least, self._most))


class Flaky(Steady):
    """Fails three messages of ten, and is well when it is asked how it is."""

    def message(self, at: float) -> Answer:
        answer = super().message(at)
        fails = self._random.random() < 0.3
        return Answer(502, after_seconds=answer.after_seconds) if fails else answer


class Limiting(Steady):
    """Takes `most_messages` in `per_seconds`; says to others when to come back."""

    def __init__(self, most_messages: int, per_seconds: float) -> None:
        super().__init__(0.005, 0.03)
        self._per_seconds = per_seconds
        self._taken: deque[float] = deque(maxlen=most_messages)

    def message(self, at: float) -> Answer:
        is_full = len(self._taken) == self._taken.maxlen
        if is_full and (left := self._taken[0] + self._per_seconds - at) > 0:
            return Answer(429, {"Retry-After": str(int(left) + 1)})
        self._taken.append(at)
        return super().message(at)


class Away(Steady):
    """Down for `down_seconds` from the first request on, then up for `up_seconds`, and so on."""

    def __init__(self, down_seconds: float, up_seconds: float) -> None:
        super().__init__(0.02, 0.08)
        self._down, self._period = down_seconds, down_seconds + up_seconds
        self._began_at: float | None = None

    def check(self, at: float) -> Answer:
        return Answer(None) if self._is_down(at) else super().check(at)

    def message(self, at: float) -> Answer:
        return Answer(None) if self._is_down(at) else super().message(at)

    def _is_down(self, at: float) -> bool:
        if self._began_at is None:
            self._began_at = at
        return (at - self._began_at) % self._period < self._down


def characters() -> dict[str, Character]:
    """By path. Those behind the gateway go with it, which Tocsin knows by `depends_on`."""
    europe = Away(down_seconds=120.0, up_seconds=240.0)
    return {
        "/on-call-pager": Steady(0.01, 0.05),
        "/operations-log": Steady(0.002, 0.01),
        "/team-chat": Steady(0.08, 0.25),
        "/ticket-system": Steady(0.9, 2.2),
        "/mail-relay": Flaky(0.03, 0.12),
        "/status-page": Limiting(most_messages=3, per_seconds=12.0),
        "/eu-gateway": europe,
        "/eu-warehouse": europe,
        "/eu-billing": europe,
        "/old-pager": Steady(0.01, 0.03, status=410),
        "/data-lake": Steady(0.05, 0.2, status=500),
        "/crm-sync": Steady(0.02, 0.06, status=422),
    }
