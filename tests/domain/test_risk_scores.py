"""Scores of predictions, each against its definition."""

from itertools import product
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.risk_scores import (
    Flags,
    Floats,
    brier,
    calibration_error,
    reference_of,
    roc_auc,
    score,
    stability_index,
)

PREDICTED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.99, 1.0]), st.booleans()), min_size=1
)


def arrays(pairs: list[tuple[float, bool]]) -> tuple[Floats, Flags]:
    return np.array([one for one, _ in pairs], np.float64), np.array([it for _, it in pairs], bool)


@given(PREDICTED)
def test_auc_is_the_chance_that_the_right_one_of_a_pair_is_higher(
    pairs: list[tuple[float, bool]],
) -> None:
    with_outage = [one for one, happened in pairs if happened]
    without = [one for one, happened in pairs if not happened]
    found = roc_auc(*arrays(pairs))
    if not with_outage or not without:
        assert found is None
        return
    won = [(a > b) + (a == b) / 2 for a, b in product(with_outage, without)]
    assert found == pytest.approx(sum(won) / len(won))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(1.0, True), (0.0, False)], 0.0),
        ([(0.0, True), (1.0, False)], 1.0),
        ([(0.5, True), (0.5, False)], 0.25),
        ([(0.8, True), (0.4, False)], (0.04 + 0.16) / 2),
    ],
)
def test_brier(pairs: list[tuple[float, bool]], expected: float) -> None:
    assert brier(*arrays(pairs)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(0.5, True), (0.5, False)], 0.0),
        ([(0.95, True)] * 19 + [(0.95, False)], 0.0),
        ([(0.9, False)], 0.9),
        # 0.1 begins a bin of its own: 0.09 and 0.1 are not averaged.
        ([(0.09, False), (0.1, True)], (0.09 + 0.9) / 2),
        ([(0.11, False), (0.19, True)], 0.35),
        # 1 is in the last bin.
        ([(1.0, True), (0.9, False)], abs(0.95 - 0.5)),
        ([(0.05, False)] * 3 + [(0.75, True)], (3 * 0.05 + 0.25) / 4),
    ],
)
def test_calibration_error(pairs: list[tuple[float, bool]], expected: float) -> None:
    assert calibration_error(*arrays(pairs)) == pytest.approx(expected)


def test_scores_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError):
        score(*arrays([]))


def test_scores_together() -> None:
    found = score(*arrays([(0.75, True), (0.25, False), (0.25, False)]))
    assert (found.examples, found.outages, found.roc_auc) == (3, 1, 1.0)
    assert found.brier == pytest.approx(0.0625)
    assert found.calibration_error == pytest.approx(0.25)


def test_a_reference_has_its_values_in_bins() -> None:
    reference = reference_of(np.arange(1.0, 101.0))
    assert list(reference.bounds) == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert reference.parts == pytest.approx([0.1] * 10)
    # Of a figure that is nearly always the same, bins that would be empty are not made.
    mostly = reference_of(np.array([0.0] * 95 + [1.0] * 5))
    assert list(mostly.bounds) == [0.0]
    assert list(mostly.parts) == pytest.approx([0.95, 0.05])


def test_the_stability_index() -> None:
    reference = reference_of(np.array([0.0] * 80 + [1.0] * 20))
    same = np.array([0.0] * 8 + [1.0] * 2)
    other = np.array([0.0] * 5 + [1.0] * 5)
    gone = np.ones(10)

    assert stability_index(reference, same) == pytest.approx(0.0)
    expected = (0.5 - 0.8) * log(0.5 / 0.8) + (0.5 - 0.2) * log(0.5 / 0.2)
    assert stability_index(reference, other) == pytest.approx(expected)
    # A bin that is empty now counts as a ten-thousandth.
    gone_by = (1e-4 - 0.8) * log(1e-4 / 0.8) + (1 - 0.2) * log(1 / 0.2)
    assert stability_index(reference, gone) == pytest.approx(gone_by)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_the_index_is_never_negative(then: list[float], now: list[float]) -> None:
    assert stability_index(reference_of(np.array(then)), np.array(now)) >= 0
