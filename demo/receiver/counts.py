"""What came in, by webhook."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Counts:
    received: int = 0
    bad_signatures: int = 0
    checks: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def answered(self, status: int | None) -> None:
        self.answers["dropped" if status is None else str(status)] += 1

    def as_data(self) -> dict[str, Any]:
        accepted = sum(count for status, count in self.answers.items() if status.startswith("2"))
        return {
            "received": self.received,
            "accepted": accepted,
            "bad_signatures": self.bad_signatures,
            "checks": self.checks,
            "answers": dict(self.answers),
        }
