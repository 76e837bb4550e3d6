"""Alerts on their way: tries, retries, what ends them, and what holds them back."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import combinations_with_replacement
from typing import Any

from standardwebhooks import Webhook

from tests.acceptance.steps import (
    checked_webhook,
    closed_gate,
    delivery,
    moment,
    settled,
    types,
    workers_have_looked,
)
from tests.harness.client import Client
from tests.harness.receiver import Answer, Message, Receiver
from tests.harness.waiting import eventually

DAY_SECONDS = 24 * 3600


def verified(secret: str, messages: Iterable[Message]) -> list[Any]:
    """The bodies, as the reference library reads them; it raises for a signature that is wrong."""
    reader = Webhook(secret)
    return [reader.verify(message.body, dict(message.headers)) for message in messages]


def test_it_is_delivered_at_the_first_try(client: Client, receiver: Receiver) -> None:
    webhook = client.make_webhook(receiver.url("/hook"))
    alert = client.raise_alert(
        title="Platte fast voll: 97 %", message="/var", source="node", labels={"host": "db-1"}
    )

    (told,) = settled(client, alert["id"])

    (message,) = receiver.messages("/hook")
    (body,) = verified(webhook["secret"], [message])
    assert body["type"] == "alert.firing"
    shown = {name: value for name, value in alert.items() if name != "deliveries"}
    assert body["data"] == shown
    assert message.headers["content-type"] == "application/json"
    assert message.id == told["webhook_message_id"]

    assert (told["status"], told["type"]) == ("delivered", "alert.firing")
    assert (told["webhook_id"], told["alert_id"]) == (webhook["id"], alert["id"])
    assert told["next_attempt_at"] is None
    (attempt,) = told["attempts"]
    assert (attempt["http_status"], attempt["reason"]) == (204, "accepted")
    assert attempt["latency_ms"] > 0
    counts = client.get(f"/api/v1/alerts/{alert['id']}").json()["deliveries"]
    assert counts == {"pending": 0, "retrying": 0, "delivered": 1, "failed": 0, "cancelled": 0}


def test_a_retry_is_the_same_message_signed_anew(client: Client, receiver: Receiver) -> None:
    webhook = checked_webhook(
        client,
        receiver,
        "/hook",
        Answer(500, body=b"try later"),
        Answer(),
        # Over a second apart in spite of the jitter, so that their timestamps differ.
        retry_schedule_seconds=[0, 2],
    )
    alert = client.raise_alert()

    (told,) = settled(client, alert["id"])

    assert told["status"] == "delivered"
    assert [one["http_status"] for one in told["attempts"]] == [500, 204]
    assert [one["reason"] for one in told["attempts"]] == ["server_error", "accepted"]
    assert told["attempts"][0]["body_excerpt"] == "try later"
    first, second = receiver.messages("/hook")
    assert first.id == second.id == told["webhook_message_id"]
    assert first.body == second.body
    assert int(first.headers["webhook-timestamp"]) < int(second.headers["webhook-timestamp"])
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    verified(webhook["secret"], [first, second])


def test_after_the_last_try_it_failed(client: Client, receiver: Receiver) -> None:
    webhook = checked_webhook(client, receiver, "/hook", Answer(500))
    alert = client.raise_alert()

    (told,) = settled(client, alert["id"])

    assert (told["status"], told["reason"]) == ("failed", "attempts_exhausted")
    assert [one["reason"] for one in told["attempts"]] == ["server_error"] * 3
    assert {message.id for message in receiver.messages("/hook")} == {told["webhook_message_id"]}
    assert len(receiver.messages("/hook")) == 3
    failed = client.get("/api/v1/deliveries?status=failed").json()
    assert [one["id"] for one in failed["items"]] == [told["id"]]
    assert client.get(f"/api/v1/webhooks/{webhook['id']}").json()["is_active"]


def test_a_receiver_that_is_gone_is_told_nothing_more(client: Client, receiver: Receiver) -> None:
    gone = checked_webhook(client, receiver, "/gone", Answer(410))
    client.make_webhook(receiver.url("/other"))
    first = client.raise_alert()

    by_webhook = {one["webhook_id"]: one for one in settled(client, first["id"])}

    told = by_webhook[gone["id"]]
    assert (told["status"], told["reason"]) == ("failed", "gone")
    assert len(told["attempts"]) == 1
    disabled = client.get(f"/api/v1/webhooks/{gone['id']}").json()
    assert (disabled["is_active"], disabled["disabled_reason"]) == (False, "gone")
    second = client.raise_alert()
    settled(client, second["id"])
    assert len(receiver.messages("/gone")) == 1
    # The other one may have heard of the webhook that is gone by now, too.
    heard = [message.json["data"]["id"] for message in receiver.messages("/other")]
    assert [heard.count(alert["id"]) for alert in (first, second)] == [1, 1]


def test_an_answer_decides_whether_it_is_tried_again(client: Client, receiver: Receiver) -> None:
    """Each status is answered to the first try, 204 to every other."""
    expected = {
        200: ("delivered", ["accepted"]),
        299: ("delivered", ["accepted"]),
        302: ("delivered", ["redirect_not_followed", "accepted"]),
        304: ("delivered", ["redirect_not_followed", "accepted"]),
        400: ("failed", ["rejected"]),
        401: ("failed", ["rejected"]),
        404: ("failed", ["rejected"]),
        408: ("delivered", ["retry_later", "accepted"]),
        422: ("failed", ["rejected"]),
        425: ("delivered", ["retry_later", "accepted"]),
        429: ("delivered", ["asked_to_wait", "accepted"]),
        500: ("delivered", ["server_error", "accepted"]),
        503: ("delivered", ["asked_to_wait", "accepted"]),
    }
    statuses = {
        checked_webhook(client, receiver, f"/{status}", Answer(status), Answer())["id"]: status
        for status in expected
    }

    alert = client.raise_alert()

    told = {
        statuses[one["webhook_id"]]: (one["status"], [try_["reason"] for try_ in one["attempts"]])
        for one in settled(client, alert["id"])
    }
    assert told == expected
    for status, (_end, tries) in expected.items():
        assert len(receiver.messages(f"/{status}")) == len(tries), status


def test_a_redirect_is_not_followed(client: Client, receiver: Receiver) -> None:
    elsewhere = receiver.url("/elsewhere")
    checked_webhook(
        client, receiver, "/hook", Answer(307, headers={"location": elsewhere}), Answer()
    )
    alert = client.raise_alert()

    (told,) = settled(client, alert["id"])

    assert [one["http_status"] for one in told["attempts"]] == [307, 204]
    assert told["attempts"][0]["reason"] == "redirect_not_followed"
    assert receiver.messages("/elsewhere") == ()
    assert receiver.probes("/elsewhere") == 0


def test_retry_after_is_obeyed_and_clamped_to_a_day(client: Client, receiver: Receiver) -> None:
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    in_a_week = format_datetime(datetime.now(UTC) + timedelta(days=7), usegmt=True)
    # What the first try is answered, and in how many seconds the second is due.
    table = {
        "seconds": (429, "120", 120),
        "date": (503, in_an_hour, 3600),
        "many-seconds": (503, "99999999999999999999", DAY_SECONDS),
        "far-date": (429, in_a_week, DAY_SECONDS),
        # Then the schedule counts: an hour and a half here.
        "unreadable": (503, "soon", 5400),
        "other-status": (500, "120", 5400),
    }
    names = {
        checked_webhook(
            client,
            receiver,
            f"/{name}",
            Answer(status, headers={"retry-after": value}),
            retry_schedule_seconds=[0, 5400],
        )["id"]: name
        for name, (status, value, _wait) in table.items()
    }

    alert = client.raise_alert()

    def all_tried() -> list[dict[str, Any]]:
        found = client.deliveries(alert["id"])
        return found if all(one["next_attempt_at"] and one["attempts"] for one in found) else []

    for told in eventually(all_tried, what="a first try of each"):
        name = names[told["webhook_id"]]
        _status, _value, wanted = table[name]
        waits = moment(told["next_attempt_at"]) - moment(told["attempts"][0]["at"])
        jitter = 0.2 * wanted if wanted == 5400 else 0
        assert abs(waits.total_seconds() - wanted) <= jitter + 20, name
        assert told["status"] == "retrying"


def test_a_receiver_that_hangs_slows_nobody_else(client: Client, receiver: Receiver) -> None:
    with closed_gate() as gate:
        hanging = checked_webhook(
            client,
            receiver,
            "/hanging",
            Answer(gate=gate),
            timeout_seconds=5,
            retry_schedule_seconds=[0],
        )
        quick = client.make_webhook(receiver.url("/quick"))
        # More for the one that hangs than it may have in flight, and first in line.
        body = {"title": "Disk almost full", "severity": "critical"}
        for targets, count in (([hanging["id"]], 40), ([hanging["id"], quick["id"]], 20)):
            batch = {"alerts": [body | {"webhook_ids": targets}] * count}
            answer = client.post("/api/v1/alerts/batch", json=batch)
            assert answer.status_code == 201

        eventually(lambda: len(receiver.messages("/quick")) == 20, 10, "what is for the quick one")

        # Nobody had to wait for a time-out for that.
        listed = client.get(f"/api/v1/webhooks/{hanging['id']}/deliveries?limit=100").json()
        assert [one for one in listed["items"] if one["attempts"]] == []
        first = listed["items"][-1]["id"]
        eventually(lambda: delivery(client, first)["status"] == "failed", 20, "the time-out")
    timed_out = delivery(client, first)
    assert timed_out["reason"] == "attempts_exhausted"
    (attempt,) = timed_out["attempts"]
    assert (attempt["reason"], attempt["http_status"]) == ("timed_out", None)
    assert attempt["latency_ms"] >= 4900


def test_a_rate_limit_holds(client: Client, receiver: Receiver) -> None:
    rate, alerts = 5, 18
    webhook = client.make_webhook(receiver.url("/hook"), rate_limit_per_second=rate)
    alert = {"title": "Disk almost full", "severity": "info", "webhook_ids": [webhook["id"]]}

    answer = client.post("/api/v1/alerts/batch", json={"alerts": [alert] * alerts})

    assert answer.status_code == 201
    eventually(lambda: len(receiver.messages("/hook")) == alerts, what="all of them")
    # The second of the claim, by the clock of the bucket itself: so the bound is exact.
    seconds = sorted(int(one.headers["webhook-timestamp"]) for one in receiver.messages("/hook"))
    for start, end in combinations_with_replacement(sorted(set(seconds)), 2):
        sent = sum(start <= second <= end for second in seconds)
        full_bucket, refilled = rate, rate * (end - start + 1)
        assert sent <= full_bucket + refilled, (start, end, seconds)


def test_the_cap_on_what_is_in_flight_holds(client: Client, receiver: Receiver) -> None:
    with closed_gate() as gate:
        webhook = checked_webhook(client, receiver, "/hook", Answer(gate=gate), max_in_flight=3)
        alert = {"title": "Disk almost full", "severity": "info", "webhook_ids": [webhook["id"]]}
        answer = client.post("/api/v1/alerts/batch", json={"alerts": [alert] * 12})
        assert answer.status_code == 201
        eventually(lambda: len(receiver.messages("/hook")) >= 3, what="the first three")

        for _look in range(3):
            workers_have_looked(client, receiver)
        assert len(receiver.messages("/hook")) == 3

    eventually(lambda: len(receiver.messages("/hook")) == 12, what="the rest")


def test_its_own_headers_arrive(client: Client, receiver: Receiver) -> None:
    headers = {"Authorization": "Bearer of bad news", "x-team": "storage"}
    client.make_webhook(receiver.url("/hook"), headers=headers)

    settled(client, client.raise_alert()["id"])

    (message,) = receiver.messages("/hook")
    assert message.headers["authorization"] == "Bearer of bad news"
    assert message.headers["x-team"] == "storage"


def test_what_ends_an_alert_is_told_to_those_who_were_told(
    client: Client, receiver: Receiver
) -> None:
    told = client.make_webhook(receiver.url("/told"))
    client.make_webhook(receiver.url("/spared"))
    alert = client.raise_alert(webhook_ids=[told["id"]])
    settled(client, alert["id"])

    for step in ("acknowledge", "resolve"):
        assert client.post(f"/api/v1/alerts/{alert['id']}/{step}").status_code == 200
        settled(client, alert["id"])

    firing, acknowledged, resolved = verified(told["secret"], receiver.messages("/told"))
    assert [one["type"] for one in (firing, acknowledged, resolved)] == [
        "alert.firing",
        "alert.acknowledged",
        "alert.resolved",
    ]
    assert (acknowledged["data"]["status"], resolved["data"]["status"]) == (
        "acknowledged",
        "resolved",
    )
    assert acknowledged["data"]["acknowledged_by"] == "admin"
    assert len({message.id for message in receiver.messages("/told")}) == 3
    assert receiver.messages("/spared") == ()


def test_what_ends_an_alert_waits_behind_what_is_still_retried(
    client: Client, receiver: Receiver
) -> None:
    with closed_gate() as gate:
        checked_webhook(client, receiver, "/hook", Answer(500, gate=gate), Answer())
        alert = client.raise_alert()
        eventually(lambda: receiver.messages("/hook"), what="the first try")
        client.post(f"/api/v1/alerts/{alert['id']}/acknowledge")
        workers_have_looked(client, receiver)

        _firing, held = client.deliveries(alert["id"])[::-1]
        assert (held["status"], held["reason"]) == ("pending", "held_behind_earlier")
        assert held["next_attempt_at"] is None
        refused = client.post(f"/api/v1/deliveries/{held['id']}/retry")
        assert refused.status_code == 409

    assert [one["status"] for one in settled(client, alert["id"])] == ["delivered"] * 2
    assert types(receiver, "/hook") == ["alert.firing", "alert.firing", "alert.acknowledged"]


def test_who_never_got_an_alert_is_not_told_of_its_end(client: Client, receiver: Receiver) -> None:
    with closed_gate() as gate:
        checked_webhook(client, receiver, "/hook", Answer(400, gate=gate))
        alert = client.raise_alert()
        eventually(lambda: receiver.messages("/hook"), what="the only try")
        client.post(f"/api/v1/alerts/{alert['id']}/acknowledge")
        client.post(f"/api/v1/alerts/{alert['id']}/resolve")

    ends = [(one["status"], one["reason"]) for one in settled(client, alert["id"])]
    assert ends[0] == ("failed", "rejected")
    # The acknowledgement was unsent when the alert was resolved, so there was no use in it.
    assert ends[1:] == [("cancelled", "superseded"), ("cancelled", "never_told")]
    assert types(receiver, "/hook") == ["alert.firing"]


def test_an_alert_that_is_over_before_it_was_sent_is_not_sent(
    client: Client, receiver: Receiver
) -> None:
    client.make_webhook(receiver.url("/hook"), retry_schedule_seconds=[60])
    alert = client.raise_alert()
    (waiting,) = client.deliveries(alert["id"])
    due_in = moment(waiting["next_attempt_at"]) - moment(waiting["created_at"])
    assert due_in == timedelta(seconds=60)

    assert client.post(f"/api/v1/alerts/{alert['id']}/resolve").status_code == 200

    (only,) = client.deliveries(alert["id"])
    assert (only["status"], only["reason"]) == ("cancelled", "superseded")
    workers_have_looked(client, receiver)
    assert receiver.messages("/hook") == ()


def test_a_failed_delivery_can_be_tried_again_by_hand(client: Client, receiver: Receiver) -> None:
    checked_webhook(client, receiver, "/hook", Answer(404), Answer())
    alert = client.raise_alert()
    (failed,) = settled(client, alert["id"])
    assert failed["status"] == "failed"

    again = client.post(f"/api/v1/deliveries/{failed['id']}/retry")

    assert (again.status_code, again.json()["status"]) == (200, "retrying")
    (told,) = settled(client, alert["id"])
    assert told["status"] == "delivered"
    assert [one["http_status"] for one in told["attempts"]] == [404, 204]
    ids = [message.id for message in receiver.messages("/hook")]
    assert ids == [failed["webhook_message_id"]] * 2
    assert client.post(f"/api/v1/deliveries/{told['id']}/retry").status_code == 409


def test_an_inactive_webhook_is_told_when_it_is_active_again(
    client: Client, receiver: Receiver
) -> None:
    with closed_gate() as gate:
        webhook = checked_webhook(
            client,
            receiver,
            "/hook",
            Answer(500, gate=gate),
            Answer(),
            retry_schedule_seconds=[0, 0],
        )
        alert = client.raise_alert()
        eventually(lambda: receiver.messages("/hook"), what="the first try")
        path = f"/api/v1/webhooks/{webhook['id']}"
        assert client.patch(path, json={"is_active": False}).status_code == 200
    (waiting,) = client.deliveries(alert["id"])
    eventually(lambda: delivery(client, waiting["id"])["status"] == "retrying", what="a retry")

    # It is due at once, and the workers look: but nobody may be told.
    workers_have_looked(client, receiver)
    assert len(receiver.messages("/hook")) == 1
    assert client.post(f"/api/v1/deliveries/{waiting['id']}/retry").status_code == 409

    assert client.patch(path, json={"is_active": True}).status_code == 200
    (told,) = settled(client, alert["id"])
    assert told["status"] == "delivered"
    assert len({message.id for message in receiver.messages("/hook")}) == 1


def test_the_queue_is_listed_by_status(client: Client, receiver: Receiver) -> None:
    client.make_webhook(receiver.url("/later"), retry_schedule_seconds=[60])
    client.make_webhook(receiver.url("/now"))
    checked_webhook(client, receiver, "/never", Answer(400))
    alert = client.raise_alert()
    wanted = {"pending", "delivered", "failed"}
    eventually(lambda: {one["status"] for one in client.deliveries(alert["id"])} == wanted)

    for status in wanted:
        page = client.get(f"/api/v1/deliveries?status={status}").json()
        assert [one["status"] for one in page["items"]] == [status]
        assert page["total"] == 1
