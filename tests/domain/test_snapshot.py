"""Snapshots and stamps against a history of transactions that end in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import snapshot as snapshots
from app.domain.snapshot import KNOWN_APART, Snapshot, Stamp

stamps = st.builds(
    lambda writers: Stamp.of(*writers), st.frozensets(st.integers(1, 200), max_size=80)
)


@pytest.mark.parametrize(
    ("text", "seen", "not_seen"),
    [
        ("10:10:", [1, 9], [10, 11]),
        ("10:14:10,12", [9, 11, 13], [10, 12, 14, 99]),
        ("4294967296:4294967298:4294967296", [4294967295, 4294967297], [4294967296, 4294967298]),
    ],
)
def test_a_snapshot_sees_what_was_over(text: str, seen: list[int], not_seen: list[int]) -> None:
    snapshot = Snapshot.parse(text)
    assert all(map(snapshot.sees, seen))
    assert not any(map(snapshot.sees, not_seen))
    assert str(snapshot) == text


@pytest.mark.parametrize("text", ["", "1:2", "a:b:", "1:2:x", "1:2:3:4"])
def test_what_postgresql_does_not_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Snapshot.parse(text)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=80))
def test_a_stamp_is_seen_by_those_who_read_after_all_its_writers(
    history: list[int | None],
) -> None:
    """Transactions begin (None) in the order of their ids and end (a number) in any."""
    running: list[int] = []
    next_id, stamp = 100, Stamp()
    taken: list[tuple[Snapshot, Stamp]] = []
    for step in history:
        if step is None or not running:
            running.append(next_id)
            next_id += 1
        else:
            stamp = stamp.merged(Stamp.of(running.pop(step % len(running))))
        now = Snapshot(min(running, default=next_id), next_id, frozenset(running))
        taken.append((now, stamp))
    for then, stamp_then in taken:
        # Too few only once the writers are no longer known apart; too many never.
        assert stamp_then.is_seen_by(then) or stamp_then.floor > 0
        assert stamp.is_seen_by(then) <= (stamp == stamp_then)


@given(stamps, stamps, stamps)
def test_stamps_merge_in_any_order(a: Stamp, b: Stamp, c: Stamp) -> None:
    assert a.merged(b) == b.merged(a)
    assert a.merged(b).merged(c) == a.merged(b.merged(c))
    assert a.merged(a) == a
    assert Stamp.parse(str(a)) == a


@given(st.lists(st.integers(1, 200), max_size=80), st.integers(1, 200), st.data())
def test_many_writers_are_never_forgotten(
    writers: list[int], xmin: int, data: st.DataObject
) -> None:
    running = data.draw(st.frozensets(st.integers(xmin, 220), max_size=20))
    snapshot = Snapshot(min(running, default=221), 221, running)
    stamp = Stamp()
    for one in writers:
        stamp = stamp.merged(Stamp.of(one))
    assert len(stamp.writers) <= KNOWN_APART
    if not all(map(snapshot.sees, writers)):
        assert not stamp.is_seen_by(snapshot)


def test_the_greatest_writer_alone_would_not_do() -> None:
    """101 ends first: who reads then sees it, and not yet 100."""
    snapshot = Snapshot.parse("100:102:100")
    stamp = Stamp.of(101)
    assert stamp.is_seen_by(snapshot)
    assert not stamp.merged(Stamp.of(100)).is_seen_by(snapshot)


def test_the_floor_takes_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "KNOWN_APART", 2)
    assert str(Stamp.of(5, 3, 9, 7)) == "5:7,9"
