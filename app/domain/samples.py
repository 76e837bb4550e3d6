"""Samples as they come in: by the thousand, so they are read by one function, not by a schema.

Packed, a sample is 24 bytes, little-endian: the id of its series (int64), its time in
microseconds since 1970 (int64), its value (float64).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_SAMPLES: Final = 10_000
MAX_OPERATION_CHARS: Final = 200
MAX_UNIT_CHARS: Final = 32
MAX_LABELS: Final = 20
MAX_LABEL_NAME_CHARS: Final = 64
MAX_LABEL_VALUE_CHARS: Final = 256
# A series is found by its operation and labels, and an entry of a B-tree holds 2,704 bytes.
MAX_LABELS_BYTES: Final = 1500
# The squares of such values still add up to a finite number, however many there are.
MAX_VALUE: Final = 1e100
MICROSECONDS: Final = 1_000_000
NEWEST_SECONDS: Final = 600
OLDEST_SECONDS: Final = 14 * 86_400

PACKED: Final = np.dtype([("series", "<i8"), ("at", "<i8"), ("value", "<f8")])
Packed = NDArray[np.void]
# What is wrong, by field.
Faults = dict[str, list[str]]

_FIELDS = frozenset({"operation", "value", "unit", "labels", "timestamp"})
_REQUIRED = "Missing data for required field."
_NO_STRING = "Not a valid string."


class Series(NamedTuple):
    """What is measured: an operation and its labels, sorted by name."""

    operation: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples that can be taken in, column by column, and the faults of the others.

    `slots[i]` says which of `names`, each a series and the unit it was sent with, sample `i` is
    of. `indexes[i]` is its place in what was sent; `errors` has the other places.
    """

    names: Sequence[tuple[Series, str | None]]
    slots: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    indexes: NDArray[np.int64]
    errors: Mapping[int, Faults]


def microseconds(moment: datetime) -> int:
    """Since 1970. A float of today's seconds is exact to a quarter of a microsecond."""
    return round(moment.timestamp() * MICROSECONDS)


def read_samples(raw: Sequence[Any], now: datetime) -> Samples:
    """Read what a client sent, as JSON has it. A bad sample doesn't stop the others.

    The loop takes what it has seen before, or finds good at first sight; `_Reader.read` decides
    about everything else.
    """
    reader = _Reader(microseconds(now))
    slot_of, now_us, oldest, newest = reader.slot_of, reader.now, reader.oldest, reader.newest
    parse, utc = datetime.fromisoformat, UTC
    slots, times, values, indexes = [], [], [], []
    errors: dict[int, Faults] = {}
    for index, sample in enumerate(raw):
        try:
            get = sample.get
            labels = get("labels")
            pairs = () if labels is None else tuple(labels.items())
            slot = slot_of[sample["operation"], get("unit"), pairs]
            value = sample["value"]
            stamp = get("timestamp")
            if stamp is None:
                at = now_us
            else:
                moment = parse(stamp)
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=utc)
                at = round(moment.timestamp() * MICROSECONDS)
            is_good = (
                type(value) in (float, int)
                and -MAX_VALUE <= value <= MAX_VALUE
                and oldest <= at <= newest
                and sample.keys() <= _FIELDS
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            is_good = False
        if not is_good:
            found = reader.read(sample)
            if isinstance(found, dict):
                errors[index] = found
                continue
            slot, at, value = found
        slots.append(slot)
        times.append(at)
        values.append(value)
        indexes.append(index)
    return Samples(
        names=reader.names,
        slots=np.array(slots, dtype=np.int64),
        times=np.array(times, dtype=np.int64),
        values=np.array(values, dtype=np.float64),
        indexes=np.array(indexes, dtype=np.int64),
        errors=errors,
    )


class _Reader:
    """Reads one sample by the letter. `slot_of` knows the names that were good, as sent."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.oldest = now - OLDEST_SECONDS * MICROSECONDS
        self.newest = now + NEWEST_SECONDS * MICROSECONDS
        self.names: list[tuple[Series, str | None]] = []
        self.slot_of: dict[tuple[Any, ...], int] = {}
        self._slot_of_name: dict[tuple[Series, str | None], int] = {}

    def read(self, sample: Any) -> tuple[int, int, float] | Faults:
        """Its slot, its time and its value; or what is wrong with it, by field."""
        if not isinstance(sample, dict):
            return {"_schema": ["A sample is an object."]}
        value, stamp = sample.get("value"), sample.get("timestamp")
        at = self.now if stamp is None else _moment(stamp)
        faults = {
            "operation": _operation_fault(sample.get("operation"), "operation" in sample),
            "value": _value_fault(value, "value" in sample),
            "unit": _unit_fault(sample.get("unit")),
            "labels": _labels_fault(sample.get("labels")),
            "timestamp": self._time_fault(at),
        }
        errors = {field: [fault] for field, fault in faults.items() if fault is not None}
        errors |= {_legible(field): ["Unknown field."] for field in sample.keys() - _FIELDS}
        if errors or at is None or value is None:
            return errors
        return self._slot(sample), at, float(value)

    def _slot(self, sample: dict[str, Any]) -> int:
        labels = sample.get("labels") or {}
        unit = sample.get("unit")
        name = (Series(sample["operation"], tuple(sorted(labels.items()))), unit)
        slot = self._slot_of_name.setdefault(name, len(self.names))
        if slot == len(self.names):
            self.names.append(name)
        self.slot_of[sample["operation"], unit, tuple(labels.items())] = slot
        return slot

    def _time_fault(self, at: int | None) -> str | None:
        if at is None:
            return "Not a valid datetime."
        if at > self.newest:
            return f"Must not be more than {NEWEST_SECONDS // 60} minutes in the future."
        if at < self.oldest:
            return f"Must not be older than {OLDEST_SECONDS // 86_400} days."
        return None


def _moment(stamp: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(stamp)
        return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (OverflowError, TypeError, ValueError):
        return None


def _operation_fault(operation: Any, is_there: bool) -> str | None:
    if not is_there:
        return _REQUIRED
    return _text_fault(operation, 1, MAX_OPERATION_CHARS)


def _value_fault(value: Any, is_there: bool) -> str | None:
    if not is_there:
        return _REQUIRED
    if type(value) not in (float, int):
        return "Not a valid number."
    if not -MAX_VALUE <= value <= MAX_VALUE:
        return f"Must be from -{MAX_VALUE:g} to {MAX_VALUE:g}."
    return None


def _unit_fault(unit: Any) -> str | None:
    return None if unit is None else _text_fault(unit, 1, MAX_UNIT_CHARS)


def _labels_fault(labels: Any) -> str | None:
    if labels is None:
        return None
    if not isinstance(labels, dict):
        return "Not a valid mapping type."
    if len(labels) > MAX_LABELS:
        return f"Not more than {MAX_LABELS} labels."
    for name, value in labels.items():
        fault = _text_fault(name, 1, MAX_LABEL_NAME_CHARS) or _text_fault(
            value, 0, MAX_LABEL_VALUE_CHARS
        )
        if fault is not None:
            return f"{_legible(name)}: {fault}"
    if sum(len(name.encode()) + len(value.encode()) for name, value in labels.items()) > (
        MAX_LABELS_BYTES
    ):
        return f"Longer than {MAX_LABELS_BYTES} bytes in all."
    return None


def _text_fault(text: Any, least: int, most: int) -> str | None:
    """Why PostgreSQL can't hold this as a text of `least` to `most` characters."""
    if not isinstance(text, str):
        return _NO_STRING
    if not least <= len(text) <= most:
        return f"Length must be between {least} and {most}."
    if "\x00" in text:
        return "Must not contain a NUL character."
    try:
        text.encode()
    except UnicodeEncodeError:
        return "Must be valid Unicode: it holds half of a surrogate pair."
    return None


def _legible(name: str) -> str:
    """A field's name as the client sent it, in characters that everything can show."""
    return name.encode(errors="backslashreplace").decode().replace("\x00", "\\x00")


def pack(
    series_ids: NDArray[np.int64], times: NDArray[np.int64], values: NDArray[np.float64]
) -> bytes:
    packed = np.empty(len(values), dtype=PACKED)
    packed["series"], packed["at"], packed["value"] = series_ids, times, values
    return packed.tobytes()


def unpack(payloads: Sequence[bytes]) -> Packed:
    """The samples of several payloads, in the order of their series, then of time."""
    samples = np.frombuffer(b"".join(payloads), dtype=PACKED)
    return samples[np.lexsort((samples["at"], samples["series"]))]
