"""Patterns of cache keys."""

import pytest

from app.domain.patterns import matcher


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("webhooks:*", "webhooks:list:20", True),
        ("webhooks:*", "webhooks", False),
        ("webhooks:?", "webhooks:7", True),
        ("webhooks:?", "webhooks:17", False),
        ("*:17", "webhooks:17", True),
        ("a[bc]", "a[bc]", True),
        ("a[bc]", "ab", False),
        ("a[!b]", "ac", False),
        ("a.c", "abc", False),
        ("a\\*", "a\\b", True),
        ("*", "", True),
        ("a*", "a\nb", True),
        ("", "a", False),
    ],
)
def test_a_star_a_question_mark_and_else_itself(pattern: str, key: str, matches: bool) -> None:
    assert matcher(pattern)(key) is matches


def test_no_pattern_takes_for_ever() -> None:
    assert not matcher("a*" * 50 + "b")("a" * 200)
