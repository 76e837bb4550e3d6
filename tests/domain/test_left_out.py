"""What a baseline must not learn from."""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.left_out import (
    MOST_SHOWN,
    Reason,
    Window,
    carried_over,
    is_about,
    quiet,
    shown,
    spans,
    touched,
    trouble,
)
from app.domain.matchers import read_matcher
from app.domain.silences import Recurrence, Silence, SilenceKind

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MARGIN = timedelta(minutes=15)


def window(begin: float, end: float, reason: Reason = Reason.ALERT, its_id: int = 1) -> Window:
    """From so many hours after NOW to so many."""
    return Window(NOW + begin * HOUR, NOW + end * HOUR, reason, its_id)


def silence(
    *matchers: str,
    begins: datetime = NOW,
    ends: datetime | None = NOW + HOUR,
    kind: SilenceKind = SilenceKind.SILENCE,
    recurrence: Recurrence | None = None,
) -> Silence:
    return Silence(7, kind, tuple(map(read_matcher, matchers)), begins, ends, recurrence)


@pytest.mark.parametrize(
    ("began", "ended", "expected"),
    [
        (-3, -2, (-3.25, -1.75)),
        (-3, None, (-3.25, 0.25)),  # goes on
        (-100, None, (-100.25, -27.75)),  # for more than 72 hours: it is usual by now
        (-100, -1, (-100.25, -27.75)),
        (-2, -3, (-2.25, -1.75)),  # clocks that differ
    ],
)
def test_trouble_is_left_out_with_a_margin_and_not_for_ever(
    began: float, ended: float | None, expected: tuple[float, float]
) -> None:
    found = trouble(
        Reason.ALERT, 1, NOW + began * HOUR, None if ended is None else NOW + ended * HOUR, NOW
    )
    assert found == window(*expected)


@pytest.mark.parametrize(
    ("matchers", "expected"),
    [
        (["operation=checkout"], True),
        (["operation=search"], False),
        (["operation=~check.*"], True),
        (["operation=checkout", "severity=warning"], True),
        (["operation=checkout", "host=db-1"], False),
        (["severity=~.*"], True),  # everything is muted
        (["host=db-1"], False),
        (["host!=db-1"], True),  # an alert of an operation has no host
        (["source=prometheus"], False),
    ],
)
def test_a_silence_is_about_an_operation_if_it_would_mute_its_alerts(
    matchers: list[str], expected: bool
) -> None:
    assert is_about(silence(*matchers), "checkout") is expected


NIGHTS = Recurrence(frozenset({"mon", "sun"}), time(22), time(2), "UTC")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (silence(), [(0, 1)]),
        (silence(ends=NOW + 3 * DAY), [(0, 48)]),  # cut where the window ends
        (silence(begins=NOW - 3 * DAY), [(-48, 1)]),
        (silence(begins=NOW - 4 * DAY, ends=NOW - 3 * DAY), []),
        (silence(begins=NOW + 3 * DAY, ends=None), []),
        # NOW is a Tuesday: the nights of Sunday and Monday, over midnight.
        (
            silence(begins=NOW - 30 * DAY, ends=None, recurrence=NIGHTS),
            [(-38, -34), (-14, -10)],
        ),
        (
            silence(begins=NOW - 13 * HOUR, ends=NOW - 11 * HOUR, recurrence=NIGHTS),
            [(-13, -11)],
        ),
    ],
)
def test_when_a_silence_was_in_force(one: Silence, expected: list[tuple[float, float]]) -> None:
    found = quiet(one, NOW - 2 * DAY, NOW + 2 * DAY)
    assert found == [window(*hours, Reason.SILENCE, 7) for hours in expected]


def test_maintenance_is_called_so() -> None:
    (found,) = quiet(silence(kind=SilenceKind.MAINTENANCE), NOW, NOW + DAY)
    assert found.reason is Reason.MAINTENANCE


@pytest.mark.parametrize(
    ("former", "expected"),
    [
        ((-9, -8), (-9, -8)),
        ((-9, -2), (-9, -5)),  # up to the horizon: what is later, the tables tell
        ((-4, -2), None),
        ((-20, -12), None),  # before the window
    ],
)
def test_what_was_purged_since_is_carried_over(
    former: tuple[float, float], expected: tuple[float, float] | None
) -> None:
    found = carried_over([window(*former)], NOW - 10 * HOUR, NOW - 5 * HOUR)
    assert found == ([] if expected is None else [window(*expected)])


HOURS = st.floats(-100, 100).map(lambda hours: round(hours, 2))
WINDOWS = st.lists(st.tuples(HOURS, HOURS).filter(lambda pair: pair[0] < pair[1]), max_size=20).map(
    lambda pairs: [window(*pair) for pair in pairs]
)


@given(WINDOWS, st.lists(HOURS, min_size=1, max_size=50))
def test_a_bucket_is_left_out_if_any_window_touches_it(
    windows: list[Window], begins: list[float]
) -> None:
    """As said plainly, bucket by bucket; in whatever order the windows come."""
    at = np.array([(NOW + one * HOUR).timestamp() for one in begins])
    found = touched(at, 3600.0, spans(windows))
    expected = [
        any(
            one.since.timestamp() < start + 3600 and start < one.until.timestamp()
            for one in windows
        )
        for start in at.tolist()
    ]
    assert found.tolist() == expected
    assert spans(windows[::-1]) == spans(windows)


def test_touching_ends_are_no_touch() -> None:
    at = np.array([(NOW + hours * HOUR).timestamp() for hours in (-1, 0, 1, 2)])
    assert touched(at, 3600.0, spans([window(0, 2)])).tolist() == [False, True, True, False]
    assert touched(at, 3600.0, []).tolist() == [False] * 4


def test_so_many_are_shown_the_newest() -> None:
    windows = [window(hours, hours + 1) for hours in range(-MOST_SHOWN - 5, 0)]
    assert shown(windows[::-1]) == windows[5:]
