"""The model: its arithmetic, its reasons, and that nothing but a model is read as one."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np
import pytest

from app.domain.risk import Effect, in_words
from app.domain.risk_features import FEATURES, Feature
from app.domain.risk_model import MAX_BYTES, LinearModel, Weight, read_model
from app.domain.risk_scores import Reference

ROW = [0.0] * len(FEATURES)


def model(**coefficients: float) -> LinearModel:
    """With these coefficients, by the name of their feature, and none for the others."""
    weights = tuple(
        Weight(name, 0.0, 1.0, coefficients.get(name, 0.0), 0.0, Reference((0.5,), (0.9, 0.1)))
        for name in FEATURES
    )
    return LinearModel(weights, intercept=-2.0, slope=1.0, offset=0.0)


def with_figures(**figures: float) -> list[float]:
    return [figures.get(name, 0.0) for name in FEATURES]


def test_a_probability_is_what_the_numbers_say() -> None:
    one = replace(model(failure_rate_1h=0.5), slope=2.0, offset=0.25)
    row = with_figures(failure_rate_1h=0.1)
    log_odds = 2.0 * (-2.0 + 0.5 * log(1 + 10)) + 0.25
    expected = 1 / (1 + exp(-log_odds))
    assert one.probabilities(np.array([row, row])) == pytest.approx([expected, expected])


def test_a_model_is_never_certain() -> None:
    sure = replace(model(), intercept=1e300)
    unsure = replace(model(), intercept=-1e300)
    assert 0.999 < sure.probabilities(np.array([ROW]))[0] < 1
    assert 0 < unsure.probabilities(np.array([ROW]))[0] < 0.001


def test_reasons_are_the_strongest_figures_in_words() -> None:
    one = model(failure_rate_1h=1.0, outages_7d=-0.5, slow_rate_1h=0.001)
    row = with_figures(failure_rate_1h=0.25, outages_7d=1.0, slow_rate_1h=0.5)
    first, second = one.reasons(row)

    assert (first.name, first.effect, first.value) == ("failure_rate_1h", Effect.RAISES, 0.25)
    assert first.contribution == pytest.approx(log(26))
    assert first.text == "25 % of checks failed in the last hour (usual: 0 %)"
    assert (second.name, second.effect) == ("outages_7d", Effect.LOWERS)
    assert second.text == "1 outage in the last 7 days (usual: 0)"


WORDS = [
    (Feature.FAILURES_IN_A_ROW, 1.0, 0.0, "1 failed check in a row (usual: 0)"),
    (
        Feature.FAILURE_RATE_7D,
        0.0123,
        0.0,
        "1.23 % of checks failed in the last 7 days (usual: 0 %)",
    ),
    (
        Feature.HOURS_SINCE_FAILURE,
        0.0,
        11.0,
        "the last failed check was within the last hour (usual: 11 hours)",
    ),
    (
        Feature.HOURS_SINCE_OUTAGE,
        1.0,
        168.0,
        "the last hour with an outage was 1 hour ago (usual: a week or longer)",
    ),
    (
        Feature.HOURS_SINCE_OUTAGE,
        168.0,
        168.0,
        "the last hour with an outage was a week or longer ago (usual: a week or longer)",
    ),
    (
        Feature.OUTAGE_DAYS_SAME_HOURS,
        4.0,
        0.0,
        "outages in the hours to come on 4 of the last 7 days (usual: 0)",
    ),
    (
        Feature.LATENCY_RATIO_1H,
        log(2),
        0.0,
        "p95 of the last hour is 2.00 times the week's median (usual: 1.00 times)",
    ),
    (
        Feature.LATENCY_TREND_6H,
        log(1.5),
        0.0,
        "each of the last 6 hours had 1.50 times the p95 before (usual: 1.00 times)",
    ),
    (
        Feature.DELIVERIES_FAILING_HOURS,
        2.0,
        0.0,
        "no delivery has succeeded for 2 hours (usual: 0 hours)",
    ),
    (Feature.DELIVERIES_FAILING_HOURS, 0.0, 0.0, "deliveries succeed (usual: 0 hours)"),
]


@pytest.mark.parametrize(("feature", "value", "usual", "text"), WORDS)
def test_figures_in_words(feature: Feature, value: float, usual: float, text: str) -> None:
    assert in_words(feature, value, usual) == text


@pytest.mark.parametrize("feature", FEATURES)
def test_every_figure_has_words(feature: Feature) -> None:
    assert in_words(feature, 3.0) in in_words(feature, 3.0, 1.0)


def test_there_are_five_reasons_at_most() -> None:
    one = model(**dict.fromkeys(FEATURES, 1.0))
    assert len(one.reasons([1.0] * len(FEATURES))) == 5


def test_what_is_written_is_read_back() -> None:
    one = model(failure_rate_1h=1.5, latency_trend_6h=0.25)
    assert read_model(one.to_json()) == one


Change = Callable[[dict[str, Any]], None]


def _set(path: str, value: Any) -> Change:
    def change(stored: dict[str, Any]) -> None:
        at: Any = stored
        *folders, last = path.split(".")
        for name in folders:
            at = at[int(name)] if name.isdigit() else at[name]
        at[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("format", "trees"),
        _set("features_version", 99),
        _set("intercept", "1"),
        _set("intercept", True),
        _set("intercept", None),
        _set("intercept", float("nan")),
        _set("calibration", {}),
        _set("calibration.slope", float("inf")),
        _set("weights", []),
        _set("weights", 5),
        _set("weights.0", None),
        _set("weights.0.feature", "os.system"),
        _set("weights.0.feature", Feature.LATENCY_TREND_6H.value),
        _set("weights.0.spread", 0),
        _set("weights.0.spread", -1),
        _set("weights.0.mean", []),
        _set("weights.0.parts", [1.0]),
        _set("weights.0.bounds", ["a"]),
    ],
)
def test_what_is_no_model_is_refused(change: Change) -> None:
    stored = json.loads(model().to_json())
    change(stored)
    with pytest.raises(ValueError):
        read_model(json.dumps(stored).encode())


class _Trap:
    """What a pickle could hold."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (pytest.fail, ("it was run",))


@pytest.mark.parametrize(
    "stored",
    [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 60_000, pickle.dumps(_Trap())],
)
def test_what_is_not_even_json_is_refused_and_not_run(stored: bytes) -> None:
    with pytest.raises(ValueError):
        read_model(stored)


def test_what_is_too_large_is_not_even_parsed() -> None:
    padded = model().to_json() + b" " * MAX_BYTES
    with pytest.raises(ValueError, match="large"):
        read_model(padded)
