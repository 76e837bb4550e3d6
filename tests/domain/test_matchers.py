"""Matchers: what they match, how they are written, and patterns that burn no time."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from app.domain.matchers import (
    BadMatcher,
    BadPattern,
    Matcher,
    Op,
    Subject,
    all_match,
    compile_pattern,
    parse_matchers,
    read_matcher,
)

ALERT = Subject("critical", "node-exporter", {"host": "db-1", "note": "one\ntwo", "empty": ""})


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ('host="db-1"', True),
        ('host="db-2"', False),
        ('host="DB-1"', False),
        ('host!="db-2"', True),
        ('host!="db-1"', False),
        ('host=~"db-.+"', True),
        ('host=~"db"', False),  # anchored at both ends
        ('host=~"b-1"', False),
        ('host=~"db-1|db-2"', True),
        ('host=~"DB-1"', False),
        ('host=~"(?i)DB-1"', True),
        ('host!~"db-.+"', False),
        ('host!~"db"', True),
        ('host=~".*"', True),
        # A line break is a character like others.
        ('note=~"one.two"', True),
        ('note=~".*"', True),
        # A label that is missing is the empty text.
        ('absent=""', True),
        ('absent!=""', False),
        ('absent=~".*"', True),
        ('absent=~".+"', False),
        ('absent!~".+"', True),
        ('absent="x"', False),
        ('absent!="x"', True),
        ('empty=""', True),
        # The alert's own fields have names too.
        ('severity="critical"', True),
        ('severity=~"warning|critical"', True),
        ('severity="info"', False),
        ('source="node-exporter"', True),
        ('source!~"node-.*"', False),
    ],
)
def test_what_matches(text: str, matches: bool) -> None:
    assert read_matcher(text).matches(ALERT) is matches


def test_its_own_fields_win_over_labels_of_their_names() -> None:
    alert = Subject("info", None, {"severity": "critical", "source": "somewhere"})
    assert read_matcher("severity=info").matches(alert)
    assert read_matcher('source=""').matches(alert)


def test_all_must_match_and_none_is_all() -> None:
    host, severity = read_matcher("host=db-1"), read_matcher("severity=info")
    assert all_match([], ALERT)
    assert all_match([host], ALERT)
    assert not all_match([host, severity], ALERT)


@given(value=st.text(max_size=30), actual=st.text(max_size=30))
def test_not_is_the_opposite(value: str, actual: str) -> None:
    alert = Subject("info", None, {"label": actual})
    for op, opposite in ((Op.EQUAL, Op.NOT_EQUAL), (Op.MATCHES, Op.NOT_MATCHES)):
        one, other = Matcher("label", op, value), Matcher("label", opposite, value)
        try:
            one.check()
        except BadPattern:
            continue
        assert one.matches(alert) is not other.matches(alert)


class TestText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('severity="critical"', ("severity", "=", "critical")),
            ('severity=~"warning|critical"', ("severity", "=~", "warning|critical")),
            ('host!="db-1"', ("host", "!=", "db-1")),
            ('host!~"db-.*"', ("host", "!~", "db-.*")),
            ("host=db-1", ("host", "=", "db-1")),
            ("  host  =~  db-.+  ", ("host", "=~", "db-.+")),
            ('host=""', ("host", "=", "")),
            ("host=", ("host", "=", "")),
            ("note=\"a, b {c} = 'd'\"", ("note", "=", "a, b {c} = 'd'")),
            ('note="~x"', ("note", "=", "~x")),
            (r'note="say \"so\""', ("note", "=", 'say "so"')),
            (r'note="a\\b"', ("note", "=", r"a\b")),
            (r'note="a\nb"', ("note", "=", "a\nb")),
            # A pattern needs no second backslash.
            (r'note=~"\d+\.\d+"', ("note", "=~", r"\d+\.\d+")),
            ('größe="1"', ("größe", "=", "1")),
            ("key=bWFya2U=", ("key", "=", "bWFya2U=")),
        ],
    )
    def test_it_is_read(self, text: str, expected: tuple[str, str, str]) -> None:
        name, op, value = expected
        assert read_matcher(text) == Matcher(name, Op(op), value)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "host",
            '="db-1"',
            'host"db-1"',
            'host=="db-1"',
            "host==db-1",
            "host=~=db-1",
            'host="db-1',
            'host=db-1"',
            'host="db-1" x',
            "host=db 1",
            "host=a,role=b",
            '{host="db-1"}',
            'host name="db-1"',
            '"host"="db-1"',
            'host="db-1\\"',
            'host>"db-1"',
        ],
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(BadMatcher, match="looks like"):
            read_matcher(text)

    @given(
        name=st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]*", fullmatch=True),
        op=st.sampled_from(Op),
        value=st.text(),
    )
    def test_what_is_quoted_comes_back(self, name: str, op: Op, value: str) -> None:
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        assert read_matcher(f'{name}{op}"{quoted}"') == Matcher(name, op, value)

    def test_as_it_is_stored(self) -> None:
        stored = [{"name": "host", "op": "=~", "value": "db-.+"}]
        assert parse_matchers(stored) == (Matcher("host", Op.MATCHES, "db-.+"),)


class TestPatterns:
    """Time is linear because RE2 compiles them, not because a clock was watched."""

    def test_a_pattern_that_burns_others_down_is_re2s(self) -> None:
        pattern = compile_pattern("(a+)+$")
        assert isinstance(pattern, type(re2.compile("a")))
        alert = Subject("info", None, {"label": "a" * 1023 + "!"})
        assert not Matcher("label", Op.MATCHES, "(a+)+$").matches(alert)

    @pytest.mark.parametrize(
        ("pattern", "why"),
        [
            (r"(a)\1", "invalid escape sequence"),
            (r"(?P<x>a)(?P=x)", "invalid perl operator"),
            ("(?=a)a", "invalid perl operator"),
            ("(?!a)b", "invalid perl operator"),
            ("(?<=a)b", "invalid perl operator"),
            ("(?>a+)b", "invalid perl operator"),
            ("[", "missing ]"),
            ("(", "missing )"),
            ("*", "no argument for repetition operator"),
            ("a**", "bad repetition operator"),
            ("a{1001}", "invalid repetition size"),
            (r"\pX", "invalid character class range"),
            ("((a{100}){10}){10}", "invalid repetition size"),
            (r"(?:\pL{20}){20}", "pattern too large"),
        ],
    )
    def test_what_re2_does_not_take_is_refused_with_its_reason(
        self, pattern: str, why: str
    ) -> None:
        for op in (Op.MATCHES, Op.NOT_MATCHES):
            with pytest.raises(BadPattern, match=why.replace("(", r"\(").replace(")", r"\)")):
                Matcher("label", op, pattern).check()
        Matcher("label", Op.EQUAL, pattern).check()  # here it is a text like others

    @pytest.mark.parametrize(
        "pattern",
        [
            r"\pL+",
            r"(?i)[\pL\d_.-]+",
            "x" * 1024,
            "|".join(f"db-{number:04}" for number in range(113)),
            "(?:a?){1000}",
        ],
    )
    def test_what_people_write_is_not_too_large(self, pattern: str) -> None:
        Matcher("label", Op.MATCHES, pattern).check()
