"""Arrays as texts: PostgreSQL reads back what was meant."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from app.adapters.arrays import bytes_array, number_array, text_array, time_array, word_array
from app.adapters.embedded import Servers
from app.domain.health import CheckOutcome

MOMENT = datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        ("bigint", number_array([1, -2, None, 2**63 - 1]), [1, -2, None, 2**63 - 1]),
        ("float8", number_array([0.1, 1e-300, None, 12.5]), [0.1, 1e-300, None, 12.5]),
        ("bool", number_array([True, False, None]), [True, False, None]),
        ("text", word_array([CheckOutcome.PASSED, "a-1"]), ["passed", "a-1"]),
        ("text", word_array([]), []),
        (
            "text",
            text_array(["a,b", 'say "hi"', "back\\slash", "{}", "", None, "null", "ä\n"]),
            ["a,b", 'say "hi"', "back\\slash", "{}", "", None, "null", "ä\n"],
        ),
        (
            "timestamptz",
            time_array([MOMENT, None, MOMENT.astimezone(timezone(timedelta(hours=5)))]),
            [MOMENT, None, MOMENT],
        ),
        ("bytea", bytes_array([b"", b"\x00\xff\\", None]), [b"", b"\x00\xff\\", None]),
    ],
)
def test_what_goes_in_comes_out(servers: Servers, kind: str, text: str, values: list[Any]) -> None:
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute("SELECT CAST(%s AS text)::" + kind + "[]", [text]).fetchone()
    assert row == (values,)
