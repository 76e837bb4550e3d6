"""A fleet of webhooks that never was: its checks for some weeks, made from a seed.

Every webhook has a pace and faults of its own. Load goes with the hour of the day and latency
wanders for no reason. Outages come at random, some soon after another, and those of a few
webhooks every night at the same hour. Most are announced by hours of rising latency and more and
more failures, some come out of the blue, and some signs come to nothing: so nobody can be right
always, and a model has to learn how far to trust a sign.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.domain.risk_features import CheckHistory

Floats = NDArray[np.float64]

STEP_SECONDS: Final = 300
STEPS_AN_HOUR: Final = 3600 // STEP_SECONDS
STEPS_A_DAY: Final = 24 * STEPS_AN_HOUR
# The first Monday of a year, so that hours of the day are hours of the day.
BEGINS_AT: Final = 1_767_571_200.0
FAILURE_THRESHOLD: Final = 3
RECOVERY_THRESHOLD: Final = 2
TIMEOUT_MS: Final = 15_000.0
DELIVERIES_AN_HOUR: Final = 1.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """The checks of all webhooks, one each five minutes: an array has a row for each webhook.

    `unavailable` is the health after each check and `failures_in_a_row` what it rests on;
    `deliveries_failing_hours` tells for how long nothing that was sent has arrived.
    """

    failed: NDArray[np.bool_]
    slow: NDArray[np.bool_]
    latency_ms: Floats
    unavailable: NDArray[np.bool_]
    failures_in_a_row: NDArray[np.int64]
    deliveries_failing_hours: Floats


@dataclass(frozen=True, slots=True)
class Nature:
    """What a fleet is like. Times in hours, rates for one webhook."""

    hours_between_outages: float = 150.0
    announced: float = 0.7
    signs_for_nothing: float = 0.5
    comes_again: float = 0.3
    nightly: float = 0.1
    latency_factor: float = 1.0


class _Webhook:
    """Makes one webhook's five-minute steps: how likely a check fails, and how slow it is."""

    def __init__(self, random: np.random.Generator, steps: int, nature: Nature) -> None:
        self._random = random
        self._steps = steps
        self._nature = nature
        self.failure_chance = np.full(steps, min(0.03, 0.002 * random.lognormal(0, 1.0)))
        self.log_latency = self._usual_latency()
        self._bursts()
        self._outages()
        self._signs_for_nothing()
        if random.random() < nature.nightly:
            self._nightly()
        np.clip(self.failure_chance, 0, 1, out=self.failure_chance)

    def _usual_latency(self) -> Floats:
        random, steps = self._random, self._steps
        hour = np.arange(steps) / STEPS_AN_HOUR
        by_day = random.uniform(0, 0.5) * np.sin((hour - random.uniform(0, 24)) * np.pi / 12)
        hourly = random.normal(0, 0.06, steps // STEPS_AN_HOUR + 1)
        for at in range(1, len(hourly)):
            hourly[at] += 0.97 * hourly[at - 1]
        wander = np.interp(hour, np.arange(len(hourly)), hourly)
        level = np.log(random.uniform(40, 400) * self._nature.latency_factor)
        noise = random.normal(0, random.uniform(0.1, 0.35), steps)
        usual: Floats = level + by_day + wander + noise
        return usual

    def _moments(self, hours_between: float) -> NDArray[np.int64]:
        count = self._random.poisson(self._steps / (hours_between * STEPS_AN_HOUR))
        return np.sort(self._random.integers(0, self._steps, count))

    def _bursts(self) -> None:
        """A few checks in which half of them fail: noise, though it may look like an outage."""
        for begin in self._moments(90.0):
            self.failure_chance[begin : begin + self._random.integers(1, 5)] += 0.4

    def _outages(self) -> None:
        random, nature = self._random, self._nature
        pending = list(self._moments(nature.hours_between_outages * random.lognormal(0, 0.7)))
        while pending:
            begin = pending.pop()
            steps = int(max(4, 8 * random.lognormal(0, 0.7)))
            self.failure_chance[begin : begin + steps] = 1.0
            if random.random() < nature.announced:
                self._sign(begin, random.lognormal(0, 0.5))
            if random.random() < nature.comes_again:
                again = begin + steps + int(random.exponential(4.0) * STEPS_AN_HOUR)
                if again < self._steps:
                    pending.append(again)

    def _signs_for_nothing(self) -> None:
        nature = self._nature
        hours_between = nature.hours_between_outages / nature.signs_for_nothing
        for end in self._moments(hours_between):
            self._sign(int(end), 0.7 * self._random.lognormal(0, 0.5))

    def _sign(self, end: int, strength: float) -> None:
        """Rising failures and latency until `end`."""
        begin = max(0, end - int(self._random.uniform(2, 12) * STEPS_AN_HOUR))
        if end <= begin:
            return
        rising = strength * np.linspace(0, 1, end - begin) ** 1.5
        self.failure_chance[begin:end] += 0.15 * rising * self._random.uniform(0.1, 1.5)
        self.log_latency[begin:end] += 0.8 * rising * self._random.uniform(0, 1.5)

    def _nightly(self) -> None:
        at = self._random.integers(0, STEPS_A_DAY)
        for begin in range(int(at), self._steps, STEPS_A_DAY):
            if self._random.random() < 0.7:
                self.failure_chance[begin : begin + self._random.integers(4, 9)] = 1.0


def simulate(seed: int, webhooks: int, days: int, nature: Nature | None = None) -> Fleet:
    """The same fleet for the same arguments."""
    random = np.random.default_rng(seed)
    steps = days * STEPS_A_DAY
    made = [_Webhook(random, steps, nature or Nature()) for _ in range(webhooks)]
    failure_chance = np.stack([one.failure_chance for one in made])
    failed = random.random((webhooks, steps)) < failure_chance
    latency = np.minimum(np.exp(np.stack([one.log_latency for one in made])), TIMEOUT_MS)
    limit = 3 * np.median(latency, axis=1, keepdims=True)
    unavailable, in_a_row = _health(failed)
    return Fleet(
        failed=failed,
        slow=~failed & (latency > limit),
        latency_ms=latency,
        unavailable=unavailable,
        failures_in_a_row=in_a_row,
        deliveries_failing_hours=_deliveries_failing(random, failure_chance),
    )


def _health(failed: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The status after each check by the rules of `app.domain.health`, for all webhooks at once."""
    webhooks, steps = failed.shape
    unavailable = np.zeros((webhooks, steps), bool)
    in_a_row = np.zeros((webhooks, steps), np.int64)
    failures = np.zeros(webhooks, np.int64)
    passes = np.zeros(webhooks, np.int64)
    down = np.zeros(webhooks, bool)
    for step in range(steps):
        now = failed[:, step]
        failures = np.where(now, failures + 1, 0)
        passes = np.where(now, 0, passes + 1)
        down = (failures >= FAILURE_THRESHOLD) | (down & (passes < RECOVERY_THRESHOLD))
        unavailable[:, step] = down
        in_a_row[:, step] = failures
    return unavailable, in_a_row


def _deliveries_failing(random: np.random.Generator, failure_chance: Floats) -> Floats:
    """Hours since the first delivery that failed and that no success has followed."""
    webhooks, steps = failure_chance.shape
    sent = random.random((webhooks, steps)) < DELIVERIES_AN_HOUR / STEPS_AN_HOUR
    fails = random.random((webhooks, steps)) < failure_chance
    hours = np.zeros((webhooks, steps))
    since = np.full(webhooks, np.inf)
    for step in range(steps):
        failing = np.where(fails[:, step], np.minimum(since, step), np.inf)
        since = np.where(sent[:, step], failing, since)
        hours[:, step] = np.where(np.isinf(since), 0.0, (step - since) / STEPS_AN_HOUR)
    return hours


def hours_of(fleet: Fleet, webhook: int) -> CheckHistory:
    """A webhook's hours, as the rollups of checks have them."""

    def hours(values: NDArray[np.bool_]) -> Floats:
        return np.asarray(values[webhook].reshape(-1, STEPS_AN_HOUR).sum(axis=1), np.float64)

    latency = np.where(fleet.failed[webhook], np.nan, fleet.latency_ms[webhook])
    ordered = np.sort(latency.reshape(-1, STEPS_AN_HOUR), axis=1)
    answered = (~np.isnan(ordered)).sum(axis=1)
    place = np.maximum(np.ceil(0.95 * answered).astype(int) - 1, 0)
    every = np.arange(len(ordered))
    return CheckHistory(
        at=BEGINS_AT + 3600 * every.astype(np.float64),
        checks=np.full(len(ordered), float(STEPS_AN_HOUR)),
        failed=hours(fleet.failed),
        slow=hours(fleet.slow),
        latency_p95_ms=ordered[every, place],
    )
