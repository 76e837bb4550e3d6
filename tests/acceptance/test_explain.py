"""Why was I (not) told: the trace of an alert, as the API shows it."""

from tests.acceptance.steps import checked_webhook, settled
from tests.harness.client import Client
from tests.harness.receiver import Answer, Receiver


def test_the_trace_of_a_delivery_has_every_attempt_and_its_end(
    client: Client, receiver: Receiver
) -> None:
    hook = checked_webhook(client, receiver, "/hook", Answer(500), Answer(204))
    alert = client.raise_alert(webhook_ids=[hook["id"]])
    settled(client, alert["id"])

    answer = client.get(f"/api/v1/alerts/{alert['id']}/explain")

    assert answer.status_code == 200, answer.text
    (one,) = answer.json()["webhooks"]
    (message,) = one["messages"]
    assert (one["webhook_id"], one["told"], message["waits"]) == (hook["id"], True, None)
    trace = [
        (step["stage"], step["reason"]) for step in message["trace"] if step["stage"] != "traffic"
    ]
    assert trace == [
        ("queued", "alert.firing"),
        ("attempt", "server_error"),
        ("attempt", "accepted"),
        ("outcome", "accepted"),
    ]
    times = [step["at"] for step in message["trace"]]
    assert times == sorted(times)


def test_who_does_not_exist_is_not_explained(client: Client) -> None:
    assert client.get("/api/v1/alerts/123456789/explain").status_code == 404
