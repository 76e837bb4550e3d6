"""What the company measures: the same number for the same operation and time, in every run.

A daily wave, quieter weekends, and noise that is the same for all samples of a minute, so that one
sample in two minutes and one in five seconds look alike.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

KNOT_SECONDS = 3600
NOISE = 0.06
DRIFT = 0.02
JITTER = 0.003


@dataclass(frozen=True)
class Shape:
    """`wave`: by how much of `base` it swings within a day. `weekend`: what is left of it then."""

    base: float
    unit: str
    wave: float
    weekend: float
    peak_hour: float = 14.0


SHAPES: Mapping[str, Shape] = {
    "checkout.latency": Shape(180.0, "ms", 0.25, 0.9),
    "orders.rate": Shape(240.0, "per_minute", 0.3, 0.8),
    "search.latency": Shape(85.0, "ms", 0.2, 0.95, peak_hour=11.0),
    "mail.queue": Shape(40.0, "messages", 0.2, 0.8, peak_hour=9.0),
}


def value(operation: str, at: float) -> float:
    """Of a usual moment; `at` in seconds since 1970."""
    shape = SHAPES[operation]
    moment = datetime.fromtimestamp(at, UTC)
    hour = moment.hour + moment.minute / 60 + moment.second / 3600
    day = 1 + shape.wave * math.cos(2 * math.pi * (hour - shape.peak_hour) / 24)
    week = shape.weekend if moment.weekday() >= 5 else 1.0
    noise = (
        1
        + NOISE * _chance(operation, f"minute {at // 60:.0f}")
        + DRIFT * _drift(operation, at)
        + JITTER * _chance(operation, int(at))
    )
    return round(shape.base * day * week * noise, 3)


def _drift(operation: str, at: float) -> float:
    """Between a random number and the next, a knot apart."""
    knot, rest = divmod(at, KNOT_SECONDS)
    before, after = (
        _chance(operation, f"knot {knot:.0f}"),
        _chance(operation, f"knot {knot + 1:.0f}"),
    )
    return before + (after - before) * rest / KNOT_SECONDS


def _chance(operation: str, what: object) -> float:
    """One normal value, always the same for the same."""
    return random.Random(f"{operation}/{what}").gauss(0, 1)


# What goes wrong, in turns: by which factor each operation is off at first.
EPISODES: Sequence[Mapping[str, float]] = (
    # Checkout is slow, and orders stay away.
    {"checkout.latency": 3.2, "orders.rate": 0.25},
    {"search.latency": 2.8},
    {"mail.queue": 6.0},
)
EPISODE_SECONDS = 720.0
CALM_SECONDS = 1080.0
WORSE_A_MINUTE = 0.35
LEAST_FACTOR = 0.02


def factor(operation: str, seconds: float, first: int = 0) -> float:
    """By which a value is off, so many seconds after an episode began, the one of number `first`;
    1 is not at all. It gets worse from minute to minute, but never below nothing.
    """
    number, into = divmod(seconds, EPISODE_SECONDS + CALM_SECONDS)
    at_first = EPISODES[(first + int(number)) % len(EPISODES)].get(operation, 1.0)
    if into >= EPISODE_SECONDS:
        return 1.0
    return max(LEAST_FACTOR, 1 + (at_first - 1) * (1 + WORSE_A_MINUTE * into / 60))
