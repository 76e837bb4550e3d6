"""Rollups of checks as they are stored, made without a database."""

from collections.abc import Iterable

from app.domain.check_rollups import CheckRollup, sketch_of
from app.domain.health import CheckOutcome


def roll_up(checks: Iterable[tuple[CheckOutcome, float, bool]]) -> CheckRollup:
    """Of each the outcome, the latency in ms, and whether it was in maintenance."""
    checks = list(checks)
    counted = [(outcome, latency) for outcome, latency, covered in checks if not covered]
    latencies = [latency for outcome, latency in counted if outcome is not CheckOutcome.FAILED]
    outcomes = [outcome for outcome, _ in counted]
    return CheckRollup(
        len(checks),
        outcomes.count(CheckOutcome.FAILED),
        outcomes.count(CheckOutcome.SLOW),
        len(checks) - len(counted),
        sum(latencies),
        min(latencies, default=None),
        max(latencies, default=None),
        sketch_of(latencies) if latencies else None,
    )
