"""A detector's state as bytes, and back: what is read behaves as what was written, to the bit."""

import struct
import zlib
from array import array
from collections.abc import Iterator
from typing import Final

from app.domain.detector.streaming import VIEWS, Detector, Setting

VERSION: Final = 1
# Before it is compressed. What is of bounded length in a detector is of bounded length here.
MOST_BYTES: Final = 24_000
_HEADER: Final = struct.Struct("<HI")


class Damaged(ValueError):
    """Bytes that hold no state of this version of the detector."""


def to_bytes(detector: Detector) -> bytes:
    numbers = array("d", _numbers(detector))
    return _HEADER.pack(VERSION, len(numbers)) + zlib.compress(numbers.tobytes(), 1)


def from_bytes(state: bytes, setting: Setting | None = None) -> Detector:
    """Raises Damaged."""
    try:
        version, count = _HEADER.unpack_from(state)
        if version != VERSION:
            raise Damaged(f"version {version} of a detector's state, not {VERSION}")
        if count * 8 > MOST_BYTES:
            raise Damaged(f"{count} numbers are more than a detector's state")
        numbers = array("d", zlib.decompress(state[_HEADER.size :]))
        if len(numbers) != count:
            raise Damaged(f"{len(numbers)} numbers in a detector's state, not {count}")
        detector = Detector(setting or Setting())
        left = iter(numbers)
        _load(detector, left)
    except Damaged:
        raise
    except (struct.error, zlib.error, StopIteration, ValueError, OverflowError) as error:
        raise Damaged("not a detector's state") from error
    if next(left, None) is not None:
        raise Damaged("more than a detector's state")
    return detector


def _numbers(detector: Detector) -> list[float]:
    found = [float(detector.seen), detector.lowest, detector.highest]
    found += detector.whole.numbers()
    found += detector.alarm.numbers()
    found += [float(len(detector.values)), *detector.values]
    found += [float(len(detector.evidence)), *(one for row in detector.evidence for one in row)]
    for deviation in detector.deviations.values():
        found += deviation.numbers()
    for shapes in detector.shapes.values():
        found += shapes.numbers()
    return found + detector.season.numbers()


def _load(detector: Detector, numbers: Iterator[float]) -> None:
    detector.seen = int(next(numbers))
    detector.lowest, detector.highest = next(numbers), next(numbers)
    detector.whole.load(numbers)
    detector.alarm.load(numbers)
    detector.values.extend(_take(numbers, int(next(numbers))))
    for _each in range(int(next(numbers))):
        detector.evidence.append(tuple(_take(numbers, len(VIEWS))))
    for deviation in detector.deviations.values():
        deviation.load(numbers)
    for shapes in detector.shapes.values():
        shapes.load(numbers)
    detector.season.load(numbers)


def _take(numbers: Iterator[float], count: int) -> list[float]:
    return [next(numbers) for _each in range(count)]
