"""What a fleet teaches: for each hour of each webhook its figures, and what came of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_features import HORIZON_HOURS, WEEK_HOURS, Present, features_of
from benchmarks.simulated_fleet import BEGINS_AT, STEPS_AN_HOUR, Fleet, hours_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Examples:
    """A row of figures for each prediction, in the order of their time; whether the webhook became
    unavailable within the horizon; when it was made, in seconds since 1970."""

    rows: Floats
    outcomes: NDArray[np.bool_]
    made_at: Floats


def examples_of(fleet: Fleet) -> Examples:
    """From the second week on, every hour in which a webhook is not unavailable already."""
    webhooks, steps = fleet.failed.shape
    hours = np.arange(WEEK_HOURS, steps // STEPS_AN_HOUR - HORIZON_HOURS)
    rows, outcomes, made_at = [], [], []
    for webhook in range(webhooks):
        last = hours * STEPS_AN_HOUR - 1
        asked = hours[~fleet.unavailable[webhook, last]]
        last = asked * STEPS_AN_HOUR - 1
        present = [
            Present(float(in_a_row), float(failing))
            for in_a_row, failing in zip(
                fleet.failures_in_a_row[webhook, last],
                fleet.deliveries_failing_hours[webhook, last],
                strict=True,
            )
        ]
        moments = BEGINS_AT + 3600 * asked.astype(np.float64)
        figures, gaps = features_of(hours_of(fleet, webhook), moments, present)
        assert not any(gaps)
        seen = np.concatenate([[0], np.cumsum(fleet.unavailable[webhook])])
        until = (asked + HORIZON_HOURS) * STEPS_AN_HOUR
        rows.append(figures)
        outcomes.append(seen[until] > seen[asked * STEPS_AN_HOUR])
        made_at.append(moments)
    order = np.argsort(np.concatenate(made_at), kind="stable")
    return Examples(
        np.concatenate(rows)[order], np.concatenate(outcomes)[order], np.concatenate(made_at)[order]
    )
