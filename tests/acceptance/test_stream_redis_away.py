"""The stream with the broker's Redis frozen, or killed and so emptied: it goes on, and says so."""

from tests.acceptance.steps import as_it_hangs
from tests.acceptance.test_redis_away import as_it_dies
from tests.acceptance.test_stream import SECTIONS
from tests.harness.client import Client
from tests.harness.system import System
from tests.harness.watcher import Message, watching


def test_it_goes_on_from_the_database_and_comes_back(client: Client, system: System) -> None:
    token = str(client.token)
    with watching(system.url, token=token) as watcher:
        seen = watcher.wait_for("metrics")
        with as_it_hangs(system):
            status = watcher.wait_for("status")
            assert status["data"]["source"] == "database"
            assert status["data"]["beat_seconds"] > 2
            snapshot = watcher.wait_for("snapshot")
            assert snapshot["data"]["source"] == "database"
            alert = client.raise_alert()
            told = watcher.wait_for("alert", lambda data: data["id"] == alert["id"])
            assert told["data"] == client.get(f"/api/v1/alerts/{alert['id']}").json()
            watcher.wait_for("metrics")
            # The numbers stand still: nobody else can be told them.
            assert watcher.told[-1]["seq"] == snapshot["seq"]
            # And who comes in meanwhile is told so, whatever he remembers.
            with watching(system.url, token=token, since=seen["seq"]) as newcomer:
                newcomer.wait_for("snapshot")
                newcomer.wait_for("status", lambda data: data["source"] == "database")
        watcher.wait_for("status", lambda data: data["source"] == "stream")
        fresh = watcher.wait_for("snapshot")
        assert set(fresh["data"]) == SECTIONS
        assert [one["id"] for one in fresh["data"]["alerts"]] == [alert["id"]]
        again = client.raise_alert()
        told = watcher.wait_until(lambda message: shows(message, again["id"]))
        assert told["seq"] > seen["seq"]


def test_one_that_comes_back_empty_is_noticed(client: Client, system: System) -> None:
    """Its numbers go on above all that were ever given, and all begin with a fresh snapshot."""
    token = str(client.token)
    with watching(system.url, token=token) as watcher:
        seen = watcher.wait_for("metrics")
        with as_it_dies(system):
            pass
        fresh = watcher.wait_for("snapshot")
        alert = client.raise_alert()
        told = watcher.wait_until(lambda message: shows(message, alert["id"]))
        assert told["seq"] > max(seen["seq"], fresh["seq"] - 1)
        numbers = [message["seq"] for message in watcher.told]
        assert numbers == sorted(numbers)
    with watching(system.url, token=token, since=seen["seq"]) as back:
        assert back.read()["type"] == "snapshot"


def shows(message: Message, alert_id: int) -> bool:
    """By itself, or in a snapshot: one comes with the stream, and one more where a process could
    not tell what it had to while Redis was away."""
    data = message["data"]
    if message["type"] == "alert":
        return bool(data["id"] == alert_id)
    return message["type"] == "snapshot" and alert_id in [one["id"] for one in data["alerts"]]
