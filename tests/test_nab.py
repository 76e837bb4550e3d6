"""The score of the Numenta Anomaly Benchmark, worked out by hand, and what our detector gets."""

import math
from pathlib import Path

import pytest

from benchmarks import nab
from benchmarks.nab_scoring import Labels, Score, normalised, scaled_sigmoid, score

# 15 % of 200 rows are probation; windows of 21 and of 41 rows.
LABELS = Labels(200, ((50, 70), (120, 160)))


def raw(*alarms: int) -> float:
    return score(LABELS, alarms).raw


def test_nothing_is_0_and_the_start_of_every_window_is_100() -> None:
    files = [LABELS, Labels(5000, ((800, 900),)), Labels(100, ())]
    assert normalised([score(one, []) for one in files]) == 0
    perfect = [score(one, [first for first, _last in one.windows]) for one in files]
    assert normalised(perfect) == pytest.approx(100)
    assert math.isnan(normalised([Score(0.0, 0, 0, 0)]))


@pytest.mark.parametrize(
    ("position", "value"),
    [(-1, 0.98661), (-0.5, 0.84828), (0, 0), (1, -0.98661), (3.1, -1)],
)
def test_the_sigmoid(position: float, value: float) -> None:
    assert scaled_sigmoid(position) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(
    ("alarms", "expected"),
    [
        # A missed window costs 1.
        ((), -2.0),
        # The start of a window is worth 1, its last row almost nothing: sigmoid(-1/21).
        ((50,), 1 - 1),
        ((70,), scaled_sigmoid(-1 / 21) / scaled_sigmoid(-1) - 1),
        # Only the best of a window counts.
        ((50, 60, 70), 0.0),
        ((70, 60), scaled_sigmoid(-11 / 21) / scaled_sigmoid(-1) - 1),
        # In the probation nothing counts; its first row behind does.
        ((0, 29), -2.0),
        ((30,), -2.0 - 0.11),
        # Behind a window an alarm costs by its distance, in widths less one row.
        ((71,), -2.0 + 0.11 * scaled_sigmoid(1 / 20)),
        ((90,), -2.0 + 0.11 * scaled_sigmoid(1)),
        ((110, 112), -2.0 + 0.11 * (scaled_sigmoid(2) + scaled_sigmoid(2.1))),
        # From the second window on, the second one is the one behind.
        ((180,), -2.0 + 0.11 * scaled_sigmoid(0.5)),
    ],
)
def test_cases_by_hand(alarms: tuple[int, ...], expected: float) -> None:
    assert raw(*alarms) == pytest.approx(expected)


def test_far_behind_a_window_an_alarm_costs_as_much_as_before_all() -> None:
    labels = Labels(1000, ((200, 210),))
    assert score(labels, [900]).raw == score(labels, [160]).raw == -1 - 0.11


def test_probation_is_15_percent_and_at_most_750_rows() -> None:
    assert [Labels(rows, ()).probation for rows in (100, 1539, 5000, 20_000)] == (
        [15, 230, 750, 750]
    )


def test_counts() -> None:
    found = score(LABELS, [10, 40, 55, 60, 100])
    assert (found.windows, found.found, found.false_alarms) == (2, 1, 2)


def test_without_data_it_says_what_to_give(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        nab.main(["--data", str(tmp_path)])
    assert ended.value.code == 2
    assert "--data DIR" in capsys.readouterr().err


@pytest.mark.skipif(not nab.DATA.is_dir(), reason="the data is not beside the repository")
def test_our_detector_reaches_the_goal(capsys: pytest.CaptureFixture[str]) -> None:
    measured = nab.measure(nab.load(nab.DATA))
    goals = nab.gates(measured)
    assert [goal.verdict for goal in goals] == ["pass", "pass"], nab.table(measured)
    assert max(len(line) for line in nab.table(measured).splitlines()) <= 100
