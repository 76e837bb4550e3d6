"""The queue of a slow reader: bounded, the oldest goes first, and what went is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.outbox import Outbox


def drain(outbox: Outbox) -> list[bytes]:
    return [outbox.take() for _message in range(len(outbox))]


def test_what_fits_comes_out_in_order() -> None:
    outbox = Outbox(max_messages=3, max_bytes=100)
    for message in (b"a", b"b", b"c"):
        outbox.put(message)
    assert outbox.take_dropped() == 0
    assert drain(outbox) == [b"a", b"b", b"c"]


def test_the_oldest_makes_room() -> None:
    outbox = Outbox(max_messages=2, max_bytes=100)
    for message in (b"a", b"b", b"c", b"d"):
        outbox.put(message)
    assert outbox.take_dropped() == 2
    assert outbox.take_dropped() == 0
    assert drain(outbox) == [b"c", b"d"]


def test_bytes_are_bounded_too() -> None:
    outbox = Outbox(max_messages=100, max_bytes=10)
    for number in range(5):
        outbox.put(bytes([number]) * 4)
    assert outbox.take_dropped() == 3
    assert drain(outbox) == [b"\x03" * 4, b"\x04" * 4]


def test_one_that_is_larger_than_all_room_stays_alone() -> None:
    outbox = Outbox(max_messages=100, max_bytes=10)
    outbox.put(b"small")
    outbox.put(b"x" * 50)
    assert outbox.take_dropped() == 1
    assert drain(outbox) == [b"x" * 50]


def test_an_empty_one_has_nothing_to_take() -> None:
    with pytest.raises(IndexError):
        Outbox().take()


@given(st.lists(st.binary(max_size=8)), st.integers(1, 5), st.integers(1, 20))
def test_what_is_left_is_the_end_of_what_came(
    messages: list[bytes], most: int, most_bytes: int
) -> None:
    outbox = Outbox(max_messages=most, max_bytes=most_bytes)
    for message in messages:
        outbox.put(message)
    dropped = outbox.take_dropped()
    left = drain(outbox)
    assert left == messages[dropped:]
    assert len(left) <= most
    assert len(left) <= 1 or sum(map(len, left)) <= most_bytes
