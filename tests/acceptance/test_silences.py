"""Silences and maintenance windows over REST."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.checks import ids, page, refused, signed_in
from tests.acceptance.steps import moment
from tests.harness.client import Client

SILENCES = "/api/v1/silences"
STORAGE = {"name": "team", "op": "=", "value": "storage"}
NIGHTS = {
    "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "from": "22:00",
    "to": "06:00",
    "time_zone": "Europe/Berlin",
}
ALWAYS = NIGHTS | {"from": "00:00", "to": "00:00", "time_zone": "UTC"}


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def make(client: Client, **fields: Any) -> dict[str, Any]:
    """One for an hour from now on."""
    body = {"matchers": [STORAGE], "ends_at": in_hours(1)} | fields
    answer = client.post(SILENCES, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def path_of(silence: dict[str, Any], *rest: str) -> str:
    return "/".join([SILENCES, str(silence["id"]), *rest])


def reason(client: Client, **labels: str) -> str:
    """The last word about an alert with these labels."""
    alert = {"severity": "critical", "labels": labels}
    answer = client.post("/api/v1/routing/test", json=alert)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["decisions"][-1]["reason"])


def test_a_new_silence_starts_now(client: Client) -> None:
    end = in_hours(1)
    made = make(client, ends_at=end)
    fixed = {key: made[key] for key in ("id", "created_at", "updated_at", "starts_at", "ends_at")}
    assert made == fixed | {
        "kind": "silence",
        "comment": None,
        "matchers": [STORAGE],
        "recurrence": None,
        "created_by": "admin",
        "status": "active",
        "in_force_until": made["ends_at"],
    }
    assert made["starts_at"] == made["created_at"] == made["updated_at"]
    assert moment(made["ends_at"]) == moment(end)
    assert reason(client, team="storage") == "silenced"
    assert reason(client, team="network") == "no_rule_matched"


def test_every_field_is_kept(client: Client) -> None:
    body = {
        "kind": "maintenance",
        "comment": "We move the database.",
        "matchers": [STORAGE, {"name": "severity", "op": "=~", "value": ".*"}],
        "starts_at": "2126-11-24T12:00:00+00:00",
        "ends_at": "2127-11-24T12:00:00+00:00",
        "recurrence": NIGHTS,
    }
    made = make(client, **body)
    assert made | body == made
    assert (made["status"], made["in_force_until"]) == ("pending", None)
    assert client.get(path_of(made)).json() == made
    assert page(client.get(SILENCES))["items"] == [made]


def test_times_of_any_zone_are_the_same_instant(client: Client) -> None:
    made = make(client, starts_at="2126-11-24T12:00:00+05:30", ends_at="2126-11-24T12:00:00Z")
    assert made["starts_at"] == "2126-11-24T06:30:00+00:00"
    assert made["ends_at"] == "2126-11-24T12:00:00+00:00"


def test_texts_do_as_matchers(client: Client) -> None:
    made = make(client, matchers=['team="storage"', 'severity=~".*"'])
    assert made["matchers"] == [STORAGE, {"name": "severity", "op": "=~", "value": ".*"}]


@pytest.mark.usefixtures("one_hour")
class TestRecurrence:
    def test_one_that_recurs_needs_no_end(self, client: Client) -> None:
        made = make(client, kind="maintenance", ends_at=None, recurrence=ALWAYS)
        assert (made["status"], made["ends_at"]) == ("active", None)
        # From midnight to midnight: it is in force, and the answer says until when.
        until = moment(made["in_force_until"])
        assert datetime.now(UTC) < until <= datetime.now(UTC) + timedelta(days=1)
        assert (until.hour, until.minute) == (0, 0)
        assert reason(client, team="storage") == "in_maintenance"

    def test_between_its_windows_it_is_active_but_not_in_force(self, client: Client) -> None:
        other_day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][
            (datetime.now(UTC) + timedelta(days=3)).weekday()
        ]
        made = make(client, ends_at=None, recurrence=ALWAYS | {"days": [other_day]})
        assert (made["status"], made["in_force_until"]) == ("active", None)
        assert reason(client, team="storage") == "no_rule_matched"

    @pytest.mark.parametrize(
        ("fields", "blamed"),
        [
            ({"days": []}, "days"),
            ({"days": ["monday"]}, "days.0"),
            ({"days": None}, "days"),
            ({"from": "24:00"}, "from"),
            ({"from": "9:00"}, "from"),
            ({"to": "09:60"}, "to"),
            ({"to": "09:00:00"}, "to"),
            ({"to": "09:00\n"}, "to"),
            ({"to": "٠٩:٠٠"}, "to"),
            ({"time_zone": "Berlin"}, "time_zone"),
            ({"time_zone": "europe/berlin"}, "time_zone"),
            ({"time_zone": "CEST"}, "time_zone"),
            ({"time_zone": "+01:00"}, "time_zone"),
            ({"time_zone": "../../etc/passwd"}, "time_zone"),
            ({"time_zone": "/etc/localtime"}, "time_zone"),
            ({"time_zone": "\x00"}, "time_zone"),
            ({"time_zone": ""}, "time_zone"),
            ({"time_zone": None}, "time_zone"),
            ({"weeks": 2}, "weeks"),
        ],
    )
    def test_what_is_wrong_is_refused(
        self, client: Client, fields: dict[str, Any], blamed: str
    ) -> None:
        body = {"matchers": [STORAGE], "recurrence": NIGHTS | fields}
        refused(client.post(SILENCES, json=body), 422, f"recurrence.{blamed}")

    def test_all_of_it_must_be_given(self, client: Client) -> None:
        body = {"matchers": [STORAGE], "recurrence": {}}
        error = refused(client.post(SILENCES, json=body), 422)
        assert set(error["errors"]) == {f"recurrence.{name}" for name in NIGHTS}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("kind", ["quiet", None, 1]),
        ("comment", ["a" * 2001, 5]),
        ("matchers", [[], None, [STORAGE] * 51, ["["], [STORAGE | {"op": "=~", "value": r"\1"}]]),
        ("starts_at", [None, "soon", 5, "0001-01-01T00:00:00+14:00"]),
        ("ends_at", ["later", 5, in_hours(-1)]),
        ("recurrence", [5, "daily"]),
        ("created_by", ["somebody"]),
    ],
)
def test_values_have_bounds(client: Client, field: str, wrong: Sequence[Any]) -> None:
    made = make(client)
    for value in wrong:
        for answer in (
            client.post(
                SILENCES, json={"matchers": [STORAGE], "ends_at": in_hours(1)} | {field: value}
            ),
            client.patch(path_of(made), json={field: value}),
        ):
            error = refused(answer, 422)
            assert {name.partition(".")[0] for name in error["errors"]} == {field}
    assert client.get(path_of(made)).json() == made


def test_it_must_have_an_end_that_makes_sense(client: Client) -> None:
    start = in_hours(2)
    for body in (
        {},
        {"ends_at": None},
        {"starts_at": start},
        {"starts_at": start, "ends_at": start},
        {"starts_at": start, "ends_at": in_hours(1)},
        {"starts_at": in_hours(-2), "ends_at": in_hours(-1)},
        {"recurrence": NIGHTS, "ends_at": in_hours(-1)},
    ):
        refused(client.post(SILENCES, json={"matchers": [STORAGE]} | body), 422, "ends_at")
    made = make(client, recurrence=NIGHTS, ends_at=None)
    # Each field by itself is good; what would come of it is not.
    refused(client.patch(path_of(made), json={"recurrence": None}), 422, "ends_at")
    once = make(client)
    refused(client.patch(path_of(once), json={"ends_at": None}), 422, "ends_at")
    refused(client.patch(path_of(once), json={"starts_at": in_hours(2)}), 422, "ends_at")
    assert client.get(path_of(once)).json() == once


def test_put_replaces_what_patch_changes(client: Client) -> None:
    made = make(client, kind="maintenance", comment="x", recurrence=NIGHTS, ends_at=None)
    patched = client.patch(
        path_of(made), json={"comment": "longer", "ends_at": in_hours(99)}
    ).json()
    assert patched["updated_at"] > made["updated_at"]
    for name in ("kind", "matchers", "recurrence", "starts_at", "created_by", "created_at"):
        assert patched[name] == made[name]
    assert patched["comment"] == "longer"
    body = {"matchers": ["team=network"], "ends_at": in_hours(1)}
    replaced = client.put(path_of(made), json=body).json()
    assert (replaced["kind"], replaced["comment"]) == ("silence", None)
    assert replaced["recurrence"] is None
    assert replaced["starts_at"] == replaced["updated_at"] > made["starts_at"]
    assert (replaced["created_by"], replaced["created_at"]) == ("admin", made["created_at"])
    assert reason(client, team="network") == "silenced"
    assert reason(client, team="storage") == "no_rule_matched"
    refused(client.put(path_of(made), json={"ends_at": in_hours(1)}), 422, "matchers")


class TestEnd:
    def test_expired_it_mutes_nothing_and_stays_on_record(self, client: Client) -> None:
        made = make(client)
        ended = client.post(path_of(made, "expire"))
        assert ended.status_code == 200, ended.text
        body = ended.json()
        assert (body["status"], body["in_force_until"]) == ("expired", None)
        assert made["ends_at"] > body["ends_at"] == body["updated_at"]
        assert reason(client, team="storage") == "no_rule_matched"
        # Twice is no error, and changes nothing.
        assert client.post(path_of(made, "expire")).json() == body
        assert client.get(path_of(made)).json() == body

    def test_one_that_recurs_without_end_gets_one(self, client: Client) -> None:
        made = make(client, recurrence=ALWAYS, ends_at=None)
        assert client.post(path_of(made, "expire")).json()["status"] == "expired"

    def test_one_that_has_not_begun_can_only_be_deleted(self, client: Client) -> None:
        made = make(client, starts_at=in_hours(1), ends_at=in_hours(2))
        refused(client.post(path_of(made, "expire")), 409)
        assert client.get(path_of(made)).json() == made
        assert client.delete(path_of(made)).status_code == 204

    def test_an_end_may_be_moved(self, client: Client) -> None:
        made = make(client)
        client.post(path_of(made, "expire"))
        again = client.patch(path_of(made), json={"ends_at": in_hours(1)}).json()
        assert again["status"] == "active"
        assert reason(client, team="storage") == "silenced"

    def test_deleted_it_is_gone(self, client: Client) -> None:
        made = make(client)
        answer = client.delete(path_of(made))
        assert (answer.status_code, answer.content) == (204, b"")
        body = {"matchers": [STORAGE], "ends_at": in_hours(1)}
        for again in (
            client.get(path_of(made)),
            client.put(path_of(made), json=body),
            client.patch(path_of(made), json={"comment": "again"}),
            client.post(path_of(made, "expire")),
            client.delete(path_of(made)),
        ):
            refused(again, 404)
        assert reason(client, team="storage") == "no_rule_matched"


def test_the_list_is_newest_first_in_pages_and_filtered(client: Client) -> None:
    pending = make(client, starts_at=in_hours(1), ends_at=in_hours(2))["id"]
    active = make(client)["id"]
    nightly = make(client, kind="maintenance", recurrence=NIGHTS, ends_at=None)["id"]
    expired = make(client)
    client.post(path_of(expired, "expire"))
    for query, found in {
        "": [expired["id"], nightly, active, pending],
        "?status=active": [nightly, active],
        "?status=pending": [pending],
        "?status=expired": [expired["id"]],
        "?kind=maintenance": [nightly],
        "?kind=silence&status=active": [active],
        "?kind=maintenance&status=expired": [],
    }.items():
        answer = client.get(SILENCES + query)
        assert ids(answer) == found, query
        assert answer.json()["total"] == len(found)
        assert {one["status"] for one in answer.json()["items"]} <= {"active", "pending", "expired"}
    first = client.get(f"{SILENCES}?limit=3")
    rest = client.get(f"{SILENCES}?limit=3&cursor={first.json()['next_cursor']}")
    assert ids(first) + ids(rest) == [expired["id"], nightly, active, pending]
    refused(client.get(f"{SILENCES}?status=over"), 422, "status")
    refused(client.get(f"{SILENCES}?kind=quiet"), 422, "kind")
    refused(client.get(f"{SILENCES}?created_by=admin"), 422, "created_by")


def test_who_is_on_call_may_silence(client: Client) -> None:
    operator, viewer = signed_in(client, "operator"), signed_in(client, "viewer")
    made = make(operator)
    assert made["created_by"].startswith("operator-")
    assert operator.patch(path_of(made), json={"comment": "mine"}).status_code == 200
    assert viewer.get(path_of(made)).json()["comment"] == "mine"
    refused(viewer.post(path_of(made, "expire")), 403)
    assert operator.post(path_of(made, "expire")).status_code == 200
    assert operator.delete(path_of(made)).status_code == 204
