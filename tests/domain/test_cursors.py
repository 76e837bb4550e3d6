"""Cursors: what we made is read, anything else is refused."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cursors import decode_cursor, encode_cursor

MAX_ID = 2**63 - 1
ids = st.integers(0, MAX_ID)


def packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@given(ids)
def test_a_cursor_keeps_its_id(last_id: int) -> None:
    cursor = encode_cursor(last_id)
    assert decode_cursor(cursor) == last_id
    assert cursor.isascii()
    assert cursor.replace("-", "").replace("_", "").isalnum()  # goes into a URL as it is


@given(st.one_of(st.text(max_size=40), st.binary(max_size=40).map(packed)))
def test_nothing_but_our_own_is_a_cursor(cursor: str) -> None:
    with suppress(ValueError):
        assert encode_cursor(decode_cursor(cursor)) == cursor


@given(ids, st.data())
def test_a_cursor_that_was_touched_is_another_or_none(last_id: int, data: st.DataObject) -> None:
    """One character more, less or other: never quietly the same place in the list."""
    cursor = encode_cursor(last_id)
    at = data.draw(st.integers(0, len(cursor)))
    there = data.draw(st.sampled_from(["", cursor[at : at + 1]]))
    put = data.draw(st.text(max_size=2))
    touched = cursor[:at] + put + cursor[at + len(there) :]
    if touched == cursor:
        return
    with suppress(ValueError):
        assert decode_cursor(touched) != last_id


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "=",
        "====",
        "A",
        "not a cursor",
        "ünïcode",
        "\x00",
        packed(b"before:"),
        packed(b"before:-1"),
        packed(b"before:+1"),
        packed(b"before: 1"),
        packed(b"before:1.0"),
        packed(b"before:1_000"),
        packed(b"before:0x1"),
        packed(b"before:01"),
        packed("before:١".encode()),  # a digit, but not of ASCII
        packed(b"before:1 OR 1=1"),
        packed(b"after:1"),
        packed(b"1"),
        packed(b"before:%d" % (MAX_ID + 1)),
        packed(b"before:" + b"9" * 10_000),
        encode_cursor(7) + "=",
        encode_cursor(7) + "!",
        "!" + encode_cursor(7),
        encode_cursor(7) + "\n",
    ],
)
def test_rubbish_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError):
        decode_cursor(cursor)
