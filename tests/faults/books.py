"""What the system under test has on record, and what the receiver has, as ledger entries."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.faults.ledger import Receipt, Record
from tests.faults.load import FIRING, RESOLVED, Hook, Journal, key_of
from tests.harness.system import System

RECORDS = """
    SELECT a.labels->>'ref', e.type, d.webhook_id, d.webhook_message_id, d.status, d.reason,
        d.attempts_made,
        (SELECT count(*) FROM pggit.delivery_attempts t
            WHERE t.delivery_id = d.id AND t.reason = 'worker_lost')
    FROM pggit.deliveries d
    JOIN pggit.alert_events e ON e.id = d.event_id
    JOIN pggit.alerts a ON a.id = e.alert_id
"""
OPEN = "SELECT count(*) FROM pggit.deliveries WHERE status IN ('pending', 'retrying')"


def count_open(system: System) -> int:
    with system.sql() as sql:
        row = sql.execute(OPEN).fetchone()
    assert row is not None
    return int(str(row[0]))


def records(system: System, hooks: Mapping[int, Hook]) -> list[Record]:
    """Every delivery to these webhooks (by their id) that the system knows of."""
    with system.sql() as sql:
        rows: list[Any] = sql.execute(RECORDS).fetchall()
    return [
        Record(
            key=key_of(ref, event_type, hooks[webhook_id].path),
            message_id=message_id,
            status=status,
            reason=reason,
            attempts_made=attempts,
            attempts_lost=lost,
        )
        for ref, event_type, webhook_id, message_id, status, reason, attempts, lost in rows
        if webhook_id in hooks
    ]


class Inspector:
    """Turns what the receiver wrote down into receipts, and finds fault with them."""

    def __init__(self, hooks: Mapping[str, Hook], journal: Journal) -> None:
        self._verifiers = {path: Webhook(hook.secret) for path, hook in hooks.items()}
        self._journal = journal
        self._sent: dict[str, Mapping[str, Any]] = {}
        self._bodies: dict[str, str] = {}

    def receipts(self, lines: Iterator[dict[str, Any]]) -> list[Receipt]:
        found = list(lines)
        self._sent = {one.ref: one.alert for one in self._journal.raised}
        return [self._receipt(line) for line in found]

    def _receipt(self, line: Mapping[str, Any]) -> Receipt:
        key, fault = self._name(line)
        return Receipt(key, line["id"], line["at"], line["status"], fault)

    def _name(self, line: Mapping[str, Any]) -> tuple[str, str | None]:
        try:
            body = json.loads(line["body"])
            event_type, data = body["type"], body["data"]
            key = key_of(data["labels"]["ref"], event_type, line["hook"])
        except (ValueError, KeyError, TypeError):
            return f"? {line['id']}", "its body is not what is sent for an alert"
        return key, self._fault(line, event_type, data)

    def _fault(
        self, line: Mapping[str, Any], event_type: str, data: Mapping[str, Any]
    ) -> str | None:
        signed = {
            "webhook-id": line["id"],
            "webhook-timestamp": line["timestamp"],
            "webhook-signature": line["signature"],
        }
        try:
            self._verifiers[line["hook"]].verify(line["body"], signed)
        except Exception as error:
            return f"its signature is wrong: {error!r}"
        sent = self._sent.get(data["labels"]["ref"], {})
        changed = [name for name, value in sent.items() if data.get(name) != value]
        if changed:
            return f"not as it was sent: {', '.join(changed)}"
        if event_type not in {FIRING, RESOLVED}:
            return f"an event that nobody caused: {event_type}"
        if self._bodies.setdefault(line["id"], line["body"]) != line["body"]:
            return "another body under the same webhook-id"
        return None
