"""The stream's words: what changed, what may be asked for, and how a message is written."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """What can change, and the type of the message that says so."""

    ALERT = "alert"
    DELIVERY = "delivery"
    WEBHOOK = "webhook"
    JOB = "job"
    ANOMALY = "anomaly"


# What a reader can ask for, by the type of the message. Others go to everybody.
TOPIC_OF: Final[Mapping[str, str]] = {
    "metrics": "metrics",
    Kind.ALERT: "alerts",
    Kind.DELIVERY: "deliveries",
    Kind.WEBHOOK: "webhooks",
    Kind.JOB: "jobs",
    Kind.ANOMALY: "anomalies",
}
TOPICS: Final[tuple[str, ...]] = tuple(TOPIC_OF.values())
# How many of each a snapshot shows, the newest. Of jobs, all.
SHOWN: Final[Mapping[Kind, int]] = {
    Kind.ALERT: 50,
    Kind.DELIVERY: 20,
    Kind.WEBHOOK: 500,
    Kind.ANOMALY: 20,
}
# Topics as bits, so that a subscription is one number.
_BIT: Final[Mapping[str, int]] = {topic: 1 << place for place, topic in enumerate(TOPICS)}
# The bit that every subscription has.
EVERYBODY: Final = 1 << len(TOPICS)


def bit_of(message_type: str) -> int:
    """The topic's bit of a message type, or the bit of what everybody gets."""
    return _BIT[TOPIC_OF[message_type]] if message_type in TOPIC_OF else EVERYBODY


def subscription(topics: Iterable[str]) -> int:
    """The topics as one number. Raises KeyError for one that there is not."""
    bits = EVERYBODY
    for topic in topics:
        bits |= _BIT[topic]
    return bits


ALL_TOPICS: Final = subscription(TOPICS)


def topics_in(bits: int) -> list[str]:
    return [topic for topic in TOPICS if bits & _BIT[topic]]


@dataclass(frozen=True, slots=True)
class Note:
    """A message before it has its number: `data` is JSON already."""

    type: str
    at: datetime
    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A message as the bytes that go over the wire, for whom its bit says."""

    seq: int
    bit: int
    wire: bytes


def text_frame(payload: bytes) -> bytes:
    """A WebSocket text message of a server, in one unmasked frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        head = bytes((0x81, length))
    elif length < 1 << 16:
        head = b"\x81\x7e" + length.to_bytes(2, "big")
    else:
        head = b"\x81\x7f" + length.to_bytes(8, "big")
    return head + payload


def frame_of(seq: int, message_type: str, at: str, data: bytes) -> Frame:
    """The frame of a message; `at` is its time in ISO 8601."""
    payload = b'{"type":"%b","seq":%d,"timestamp":"%b","data":%b}' % (
        message_type.encode(),
        seq,
        at.encode(),
        data,
    )
    return Frame(seq, bit_of(message_type), text_frame(payload))


Section = Sequence[Mapping[str, Any]]


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[Kind, Mapping[str, Any]]]:
    """What the later of two snapshots has that the earlier has not, or has otherwise: as the
    events that would have told of it, the oldest first.
    """
    found: list[tuple[Kind, Mapping[str, Any]]] = []
    for kind in (Kind.WEBHOOK, Kind.JOB, Kind.ANOMALY, Kind.ALERT, Kind.DELIVERY):
        known = {_name(one): one for one in _items(kind, before)}
        items = _items(kind, after)
        found += [(kind, one) for one in reversed(items) if known.get(_name(one)) != one]
        if kind is Kind.WEBHOOK:
            found += [(kind, gone_webhook(one)) for one in _gone(known.keys(), items)]
    return found


def _gone(known: Collection[int], items: Section) -> list[int]:
    """Ids that ceased to be. One that newer ones pushed out of a full list is still there."""
    there = [_name(one) for one in items]
    oldest = min(there) if len(there) >= SHOWN[Kind.WEBHOOK] else 0
    return sorted(one for one in known if one not in set(there) and one > oldest)


def gone_webhook(webhook_id: int) -> dict[str, Any]:
    return {"id": webhook_id, "is_deleted": True}


def _items(kind: Kind, snapshot: Mapping[str, Any]) -> Section:
    items: Section = snapshot.get(TOPIC_OF[kind], ())
    if kind is Kind.JOB:
        runs = [one["last_execution"] for one in items]
        return [run for run in runs if run is not None]
    return items


def _name(one: Mapping[str, Any]) -> int:
    return int(one["id"])
