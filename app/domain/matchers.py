"""Matchers on an alert's labels, severity and source: `=`, `!=`, `=~` and `!~`, as Alertmanager's.

Regular expressions are RE2's, anchored at both ends: whatever the pattern, the time to match is
linear in the text. A dot stands for a line break too, so that `.*` is any text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import re2

MAX_PATTERN_BYTES = 64 * 1024  # of the compiled program; larger ones are refused
PATTERNS_KEPT = 4096
# name, operator, and the value in quotes or bare.
_TEXT = re.compile(
    r'([^\s=!~"{},]+)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|((?![=~])[^\s"{},]*))', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANT = {"n": "\n", '"': '"', "\\": "\\"}


class Op(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    NOT_MATCHES = "!~"


class BadPattern(ValueError):
    """A regular expression that RE2 does not take; the message says why."""


class BadMatcher(ValueError):
    """A text that is no matcher; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What matchers look at: an alert's labels, and its severity and source by these names."""

    severity: str
    source: str | None
    labels: dict[str, str]

    def value(self, name: str) -> str:
        """A missing label is the empty text. The alert's own fields win over labels."""
        if name == "severity":
            return self.severity
        if name == "source":
            return self.source or ""
        return self.labels.get(name, "")


@dataclass(frozen=True, slots=True)
class Matcher:
    name: str
    op: Op
    value: str

    def check(self) -> None:
        """Raises BadPattern."""
        if self.op in {Op.MATCHES, Op.NOT_MATCHES}:
            compile_pattern(self.value)

    def matches(self, subject: Subject) -> bool:
        actual = subject.value(self.name)
        match self.op:
            case Op.EQUAL:
                return actual == self.value
            case Op.NOT_EQUAL:
                return actual != self.value
            case Op.MATCHES:
                return compile_pattern(self.value).fullmatch(actual) is not None
            case Op.NOT_MATCHES:
                return compile_pattern(self.value).fullmatch(actual) is None


@lru_cache(PATTERNS_KEPT)
def compile_pattern(pattern: str) -> Any:
    """Raises BadPattern."""
    options = re2.Options()
    options.max_mem = MAX_PATTERN_BYTES
    options.dot_nl = True
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        (why,) = error.args
        raise BadPattern(why.decode(errors="replace") if isinstance(why, bytes) else why) from None


def read_matcher(text: str) -> Matcher:
    """From `severity=~"warning|critical"`, as Alertmanager writes it. In quotes, `\\n`, `\\"` and
    `\\\\` are escapes; any other backslash stands for itself, so that `"\\d+"` is a pattern.

    Raises BadMatcher. The pattern itself is not looked at.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise BadMatcher('A matcher looks like severity="critical" or host=~"db-.+".')
    name, op, quoted, bare = found.groups()
    value = bare if quoted is None else _ESCAPED.sub(_unescaped, quoted)
    return Matcher(name, Op(op), value)


def _unescaped(found: re.Match[str]) -> str:
    return _MEANT.get(found[1], found[0])


def all_match(matchers: Iterable[Matcher], subject: Subject) -> bool:
    """Without matchers everything matches."""
    return all(matcher.matches(subject) for matcher in matchers)


def parse_matchers(stored: Iterable[dict[str, str]]) -> tuple[Matcher, ...]:
    """From [{name, op, value}], as they are stored."""
    return tuple(Matcher(one["name"], Op(one["op"]), one["value"]) for one in stored)
