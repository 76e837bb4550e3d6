"""What one look at one thing gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, and soon may not
    FAIL = "fail"
    SKIP = "skip"  # nothing can be said while something else is wrong


@dataclass(frozen=True)
class Finding:
    """`remedy`: what to do, in words that can be followed; there unless all is well."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str | None = None


Findings = Iterator[Finding]
Check = Callable[[], Findings]


def ok(check: str, detail: str) -> Finding:
    return Finding(check, Verdict.OK, detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Verdict.FAIL, detail, remedy)


def skip(check: str, detail: str) -> Finding:
    return Finding(check, Verdict.SKIP, detail)
