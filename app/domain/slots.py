"""Ticks and their slots: time cut into intervals, so that a tick has a name.

A job's slot is floor(due ÷ interval) with `due` in seconds since 1970. Two schedulers, however
their clocks differ within an interval, give one tick the same slot, and the database lets a
slot run once.
"""

from math import floor


def slot_of(due: float, interval_seconds: int) -> int:
    return floor(due / interval_seconds)


def due_of(slot: int, interval_seconds: int) -> float:
    """When a slot is due, in seconds since 1970."""
    return float(slot * interval_seconds)


def next_due(last_run: float, interval_seconds: int) -> float:
    """The first boundary after the last run, in seconds since 1970."""
    return due_of(slot_of(last_run, interval_seconds) + 1, interval_seconds)


def missed_between(previous_slot: int | None, slot: int) -> int:
    """How many slots nobody ran between two that somebody did."""
    return 0 if previous_slot is None else max(0, slot - previous_slot - 1)
