"""`tocsin export` and `tocsin import`: the same file twice changes nothing."""

import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli.exits import Failure
from app.cli.transfer.document import read, write
from tests.cli.conftest import Tocsin
from tests.harness.client import Client
from tests.harness.receiver import Receiver

FILE = """
tocsin: 1
webhooks:
  - name: pager
    url: http://127.0.0.1:PORT/pager
    health_check_interval_seconds: 86400
    depends_on: [gateway]
    headers: {x-team: no}
    health_check: {failure_threshold: 5}
  - name: gateway
    url: http://127.0.0.1:PORT/gateway
    health_check_interval_seconds: 86400
routing_rules:
  - name: serious
    matchers: ['severity="critical"']
    webhooks: [pager, gateway]
    steps:
      - {after_minutes: 15, webhooks: [gateway]}
inhibition_rules:
  - name: a host explains its services
    source_matchers: ['kind="host"']
    target_matchers: ['kind="service"']
    equal: [host]
silences:
  - kind: maintenance
    comment: weekly
    matchers: ['severity=~".*"']
    recurrence: {days: [sat, sun], from: 22:00, to: 06:00, time_zone: Europe/Berlin}
baseline_schedules:
  - operation: checkout/pay
    frequency_seconds: 3600
"""


@pytest.fixture
def text(receiver: Receiver) -> str:
    return FILE.replace("PORT", str(receiver.port))


@pytest.fixture
def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tocsin.yaml"
    path.write_text(text)
    return path


def lists(client: Client) -> dict[str, list[dict[str, Any]]]:
    return {
        path: client.get(f"/api/v1/{path}?limit=100").json()["items"]
        for path in (
            "webhooks",
            "routing-rules",
            "inhibition-rules",
            "silences",
            "baselines/schedules",
        )
    }


def test_a_file_makes_everything_and_then_nothing(
    here: Tocsin, client: Client, file: Path, text: str
) -> None:
    looked = here("import", str(file), "--dry-run")
    assert looked.code == 6
    assert "6 to add, 0 to change, 0 to delete, 0 the same." in looked.out
    assert lists(client)["webhooks"] == []

    done = here("import", str(file), "--yes")
    assert done.code == 0, done.err
    assert "6 changes are made." in done.out
    assert done.out.count("(shown this once): whsec_") == 2

    there = lists(client)
    ids = {one["name"]: one["id"] for one in there["webhooks"]}
    pager = next(one for one in there["webhooks"] if one["name"] == "pager")
    assert pager["depends_on"] == [ids["gateway"]]
    assert pager["headers"] == {"x-team": "no"}
    assert (pager["health_check"]["failure_threshold"], pager["health_check"]["method"]) == (
        5,
        "GET",
    )
    (rule,) = there["routing-rules"]
    assert rule["webhook_ids"] == [ids["pager"], ids["gateway"]]
    assert rule["steps"] == [{"after_minutes": 15, "webhook_ids": [ids["gateway"]]}]
    (silence,) = there["silences"]
    assert silence["recurrence"]["from"] == "22:00"

    again = here("import", str(file), "--dry-run")
    assert (again.code, "0 to add, 0 to change, 0 to delete, 6 the same." in again.out) == (0, True)
    assert here("import", str(file)).code == 0  # and nobody has to be asked
    assert lists(client) == there

    # Nor does another order, or another way to write a matcher, make a difference.
    file.write_text(
        text.replace("[pager, gateway]", "[gateway, pager]").replace(
            "'severity=\"critical\"'", "{name: severity, op: '=', value: critical}"
        )
    )
    assert here("import", str(file), "--dry-run").code == 0


def test_what_is_exported_can_be_imported(
    here: Tocsin, client: Client, file: Path, tmp_path: Path
) -> None:
    assert here("import", str(file), "--yes").code == 0
    target = tmp_path / "out.yaml"
    assert here("export", "-o", str(target)).code == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "whsec_" not in target.read_text()
    assert here("import", str(target), "--dry-run", "--prune").code == 0

    before = lists(client)
    for path, items in before.items():
        for item in items:
            assert client.delete(f"/api/v1/{path}/{item['id']}").status_code == 204
    assert here("import", str(target), "--yes").code == 0
    names = {"id", "webhook_ids", "depends_on", "steps", "next_run_at"}
    for path, items in lists(client).items():
        for item, old in zip(items, before[path], strict=True):
            stays = item.keys() - names - {"created_at", "updated_at", "health_status"}
            assert {name: item[name] for name in stays} == {name: old[name] for name in stays}
    assert here("export").out == target.read_text()


def test_only_what_differs_is_changed(here: Tocsin, client: Client, file: Path, text: str) -> None:
    assert here("import", str(file), "--yes").code == 0
    file.write_text(
        text.replace("{failure_threshold: 5}", "{failure_threshold: 7}")
        .replace("webhooks: [pager, gateway]", "webhooks: [gateway]")
        .replace("06:00", "05:00")
        .replace("depends_on: [gateway]", "depends_on: []")
    )
    before = lists(client)
    done = here("import", str(file), "--yes", "--json")
    assert (done.code, done.json["applied"], done.json["unchanged"]) == (0, 3, 3)
    fields = {one["section"]: one["fields"] for one in done.json["changes"]}
    assert fields["webhooks"] == {
        "depends_on": {"from": ["gateway"], "to": []},
        "health_check.failure_threshold": {"from": 5, "to": 7},
    }
    assert fields["routing_rules"]["webhooks"] == {"from": ["pager", "gateway"], "to": ["gateway"]}
    after = lists(client)
    assert [one["id"] for one in after["silences"]] == [one["id"] for one in before["silences"]]
    assert after["silences"][0]["recurrence"]["to"] == "05:00"
    assert next(one for one in after["webhooks"] if one["name"] == "pager")["depends_on"] == []


def test_what_the_file_leaves_out_stays_unless_pruned(
    here: Tocsin, client: Client, file: Path, text: str, receiver: Receiver
) -> None:
    assert here("import", str(file), "--yes").code == 0
    client.make_webhook(receiver.url("/other"), name="other")
    document = yaml.safe_load(text)
    file.write_text(f"tocsin: 1\nwebhooks: {document['webhooks'][1:]}\n")

    assert here("import", str(file), "--dry-run").code == 0
    looked = here("import", str(file), "--dry-run", "--prune")
    assert "2 to delete" in looked.out
    assert here("import", str(file), "--prune", "--yes").code == 0
    there = lists(client)
    assert [one["name"] for one in there["webhooks"]] == ["gateway"]
    assert len(there["routing-rules"]) == 1  # a section that the file does not have


def test_every_fault_is_said_before_anything_is_done(
    here: Tocsin, client: Client, file: Path, text: str
) -> None:
    file.write_text(
        re.sub(r"http://\S+/gateway", '""', text)
        .replace("frequency_seconds: 3600", "frequency_seconds: 1")
        .replace("webhooks: [pager, gateway]", "webhooks: [nobody]")
        .replace("equal: [host]", "equals: [host]")
    )
    answer = here("import", str(file), "--yes")
    assert answer.code == 2
    for fault in (
        "webhooks[1].url:",
        "baseline_schedules[0].frequency_seconds:",
        "routing_rules[0]: there is no webhook called nobody.",
        "inhibition_rules[0].equals: Unknown field.",
    ):
        assert fault in answer.err
    assert lists(client)["webhooks"] == []


def test_what_the_server_refuses_leaves_what_was_made(
    here: Tocsin, client: Client, file: Path, text: str
) -> None:
    """The server alone knows which addresses it may reach; a mended file goes on from there."""
    file.write_text(re.sub(r"http://\S+/gateway", "http://10.0.0.1/gateway", text))
    answer = here("import", str(file), "--yes")
    assert answer.code == 1
    assert "1 of 6 changes are made" in answer.err
    assert "Secret of pager (shown this once): whsec_" in answer.out
    file.write_text(text)
    assert here("import", str(file), "--yes").code == 0
    assert here("import", str(file), "--dry-run").code == 0
    pager = next(one for one in lists(client)["webhooks"] if one["name"] == "pager")
    assert len(pager["depends_on"]) == 1


def test_nobody_can_be_asked(here: Tocsin, client: Client, file: Path) -> None:
    answer = here("import", str(file), "--json")
    assert answer.code == 2
    assert "--yes" in answer.err
    assert lists(client)["webhooks"] == []


def test_a_name_that_two_webhooks_have(
    here: Tocsin, client: Client, file: Path, receiver: Receiver
) -> None:
    """Alone it is no fault; that something else means one of them is."""
    for path in ("/a", "/b"):
        client.make_webhook(receiver.url(path), name="twin")
    exported = here("export")
    assert exported.code == 0
    file.write_text(exported.out)
    assert here("import", str(file), "--dry-run").code == 0
    file.write_text("tocsin: 1\nrouting_rules: [{name: r, webhooks: [twin]}]\n")
    answer = here("import", str(file), "--yes")
    assert answer.code == 1
    assert "Give each a name of its own" in answer.err


def test_a_silence_that_is_over_is_not_made(here: Tocsin, client: Client, file: Path) -> None:
    over = datetime.now(UTC) - timedelta(days=1)
    file.write_text(
        "tocsin: 1\nsilences:\n"
        f"  - {{comment: old, matchers: ['a=\"b\"'], ends_at: {over.isoformat()}}}\n"
    )
    answer = here("import", str(file), "--yes")
    assert answer.code == 0
    assert "old is over, so it is not made" in answer.out
    assert lists(client)["silences"] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "tocsin: 1"),
        ("tocsin: 2", "tocsin: 1"),
        ("tocsin: 1\nwebhoks: []", "No such section: webhoks"),
        ("tocsin: 1\nwebhooks: {a: 1}", "must be a list"),
        ("tocsin: 1\nwebhooks:\n- {name: a, name: b}", "'name' is there twice"),
        ("tocsin: [", "no YAML"),
        ("tocsin: 1\nwebhooks: !!python/object:os.system []", "no YAML"),
    ],
)
def test_what_is_no_such_file(text: str, fault: str) -> None:
    with pytest.raises(Failure, match=fault.replace("(", r"\(")) as failure:
        read(text)
    assert failure.value.code == 2


def test_yaml_means_what_it_says() -> None:
    """Only what JSON has is more than text, and what is written is read as the same."""
    texts = [
        "no",
        "22:00",
        "0755",
        "1_000",
        "2026-01-01",
        "on",
        "~x",
        "",
        "null",
        "1.5",
        "1e5",
        "=",
        "é",
    ]
    entry = {"name": "x", "texts": texts, "more": [None, True, False, 1, -1, 2.5, 1e21]}
    assert read(write({"webhooks": [entry]})) == {"webhooks": [entry]}
    bare = read("tocsin: 1\nwebhooks:\n- {a: no, b: 22:00, c: 2026-01-01, d: 7, e: true, f: }")
    assert bare["webhooks"] == [
        {"a": "no", "b": "22:00", "c": "2026-01-01", "d": 7, "e": True, "f": None}
    ]
