"""The stream's words: topics, frames, and what differs between two snapshots."""

from typing import Any

import orjson
import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from app.domain.live import (
    ALL_TOPICS,
    SHOWN,
    TOPICS,
    Kind,
    bit_of,
    differences,
    frame_of,
    subscription,
    text_frame,
    topics_in,
)


def test_topics_are_one_number() -> None:
    assert subscription(TOPICS) == ALL_TOPICS
    assert topics_in(subscription([])) == []
    assert topics_in(subscription(["jobs", "alerts"])) == ["alerts", "jobs"]


def test_a_topic_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        subscription(["alerts", "weather"])


@pytest.mark.parametrize("message_type", ["snapshot", "status", "dropped", "pong"])
def test_what_has_no_topic_goes_to_everybody(message_type: str) -> None:
    for topics in ([], ["jobs"], TOPICS):
        assert bit_of(message_type) & subscription(topics)


def test_every_kind_has_a_topic_of_its_own() -> None:
    bits = [bit_of(kind) for kind in (*Kind, "metrics")]
    assert len(set(bits)) == len(bits)
    assert sum(bits) + bit_of("snapshot") == ALL_TOPICS


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_frame_is_read_by_a_client_of_the_protocol(size: int) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(text_frame(b"x" * size))
    messages = [event for event in client.events() if isinstance(event, TextMessage)]
    assert "".join(message.data for message in messages) == "x" * size
    assert messages[-1].message_finished


def test_a_message_is_the_one_json_object_of_the_contract() -> None:
    frame = frame_of(7, "alert", "2026-11-28T04:00:00+00:00", b'{"id":1}')
    assert orjson.loads(frame.wire[2:]) == {
        "type": "alert",
        "seq": 7,
        "timestamp": "2026-11-28T04:00:00+00:00",
        "data": {"id": 1},
    }


def seen(**sections: list[dict[str, Any]]) -> dict[str, Any]:
    empty: dict[str, Any] = {topic: [] for topic in TOPICS}
    return empty | sections


def test_what_is_new_or_other_is_told_the_oldest_first() -> None:
    before = seen(alerts=[{"id": 2, "status": "pending"}, {"id": 1, "status": "pending"}])
    after = seen(
        alerts=[
            {"id": 3, "status": "pending"},
            {"id": 2, "status": "pending"},
            {"id": 1, "status": "resolved"},
        ]
    )
    assert differences(before, after) == [
        (Kind.ALERT, {"id": 1, "status": "resolved"}),
        (Kind.ALERT, {"id": 3, "status": "pending"}),
    ]
    assert differences(after, after) == []


def test_of_a_job_its_run_is_told() -> None:
    run = {"id": 9, "status": "running"}
    before = seen(jobs=[{"name": "a", "last_execution": None}])
    after = seen(jobs=[{"name": "a", "last_execution": run}])
    assert differences(before, after) == [(Kind.JOB, run)]


def test_a_webhook_that_is_gone_is_told() -> None:
    before = seen(webhooks=[{"id": 2}, {"id": 1}])
    assert differences(before, seen(webhooks=[{"id": 2}])) == [
        (Kind.WEBHOOK, {"id": 1, "is_deleted": True})
    ]


def test_one_that_newer_ones_pushed_out_is_not_gone() -> None:
    most = SHOWN[Kind.WEBHOOK]
    before = seen(webhooks=[{"id": one} for one in range(most, 0, -1)])
    after = seen(webhooks=[{"id": one} for one in range(most + 1, 1, -1)])
    assert differences(before, after) == [(Kind.WEBHOOK, {"id": most + 1})]
