"""`tocsin alert`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import click

from app.cli.client import Api
from app.cli.exits import Exit
from app.cli.options import Duration, Label, asks_server, limit_option
from app.cli.output import Output, ago, moment
from app.cli.progress import bar, watch
from app.cli.webhooks import find_webhook

SEVERITY = click.Choice(["info", "warning", "critical"])
STATUS = click.Choice(["pending", "acknowledged", "resolved"])
OPEN = ("pending", "retrying")
WAIT_SECONDS = 60.0


@click.group()
def alert() -> None:
    """What is to be told: send, list, acknowledge, explain."""


@alert.command()
@click.argument("title")
@click.option("--severity", type=SEVERITY, default="warning", show_default=True)
@click.option("--message")
@click.option("--source")
@click.option("--label", type=Label(), multiple=True, help="Repeatable.")
@click.option("--dedup-key", help="While one with this key is open, it is counted up instead.")
@click.option("--webhook", multiple=True, help="Tell this one, by id or name; repeatable.")
@click.option("--expires-in", type=Duration(), help="Then it is told no more: 15m, 2h, 7d.")
@click.option("--wait", is_flag=True, help="Until all are told; exit code 1 if one is not.")
@asks_server
def send(
    api: Api,
    out: Output,
    title: str,
    severity: str,
    label: tuple[tuple[str, str], ...],
    webhook: tuple[str, ...],
    expires_in: timedelta | None,
    wait: bool,
    **texts: str | None,
) -> int:
    """Raise an alert. Without --webhook the routing rules decide who is told."""
    body: dict[str, Any] = {"title": title, "severity": severity, "labels": dict(label)}
    body |= {name: text for name, text in texts.items() if text is not None}
    if webhook:
        body["webhook_ids"] = [find_webhook(api, one)["id"] for one in webhook]
    if expires_in is not None:
        body["expires_at"] = (datetime.now(UTC) + expires_in).isoformat()
    raised = api.post("/alerts", body)
    if not wait:
        out.data(raised)
        counted = f", raised {raised['count']} times by now" if raised["count"] > 1 else ""
        out.line(f"Alert {raised['id']} is {raised['status']}{counted}.")
        return Exit.DONE
    return _wait_for_deliveries(api, out, raised)


def _wait_for_deliveries(api: Api, out: Output, raised: dict[str, Any]) -> int:
    counts = raised["deliveries"]
    with bar(f"Alert {raised['id']}", sum(counts.values())) as advance:

        def look() -> dict[str, Any]:
            found: dict[str, Any] = api.get(f"/alerts/{raised['id']}")
            advance(to=sum(found["deliveries"].values()) - _open(found))
            return found

        found = watch(look, lambda one: not _open(one), within_seconds=WAIT_SECONDS)
    deliveries = list(api.items(f"/alerts/{raised['id']}/deliveries"))
    out.data(found | {"delivered_to": deliveries})
    out.line(f"Alert {found['id']}: {_counts(found)}.")
    out.table(
        ("Webhook", "Status", "Reason", "Attempts", "Message"),
        (
            (
                one["webhook_id"],
                one["status"],
                one["reason"],
                len(one["attempts"]),
                one["webhook_message_id"],
            )
            for one in deliveries
        ),
    )
    return Exit.FAILED if found["deliveries"]["failed"] else Exit.DONE


def _open(found: dict[str, Any]) -> int:
    return sum(found["deliveries"][status] for status in OPEN)


def _counts(found: dict[str, Any]) -> str:
    told = [f"{count} {status}" for status, count in found["deliveries"].items() if count]
    return ", ".join(told) or "nobody is told"


@alert.command("list")
@click.option("--status", type=STATUS)
@click.option("--severity", type=SEVERITY)
@click.option("--source")
@click.option("--search", help="Text in the title or the message.")
@click.option("--since", type=Duration(), help="Raised so long ago or later: 15m, 2h, 7d.")
@limit_option()
@asks_server
def list_(
    api: Api,
    out: Output,
    status: str | None,
    severity: str | None,
    source: str | None,
    search: str | None,
    since: timedelta | None,
    limit: int,
) -> None:
    """List alerts, the newest first."""
    now = datetime.now(UTC)
    found = list(
        islice(
            api.items(
                "/alerts",
                status=status,
                severity=severity,
                source=source,
                q=search,
                since=None if since is None else (now - since).isoformat(),
            ),
            limit,
        )
    )
    out.data(found)
    if not found:
        out.line("There is no such alert.")
    out.table(
        ("ID", "Severity", "Status", "Age", "Count", "Deliveries", "Title"),
        (
            (
                one["id"],
                one["severity"],
                "snoozed" if one["snoozed_until"] else one["status"],
                ago(one["created_at"], now),
                one["count"],
                _counts(one),
                one["title"],
            )
            for one in found
        ),
    )


@alert.command()
@click.argument("alert_ids", metavar="ID...", type=int, nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every pending alert.")
@asks_server
def ack(api: Api, out: Output, alert_ids: tuple[int, ...], all_: bool) -> int:
    """Acknowledge alerts; exit code 5 if one of them does not exist."""
    if all_ == bool(alert_ids):
        raise click.UsageError("Give ids, or say --all.")
    ids = list(alert_ids or (one["id"] for one in api.items("/alerts", status="pending")))
    answers: dict[str, list[int]] = {"acknowledged": [], "already": [], "not_found": []}
    with bar("Acknowledging", len(ids)) as advance:
        for some in _parts(ids, 1000):
            for name, found in api.post("/alerts/acknowledge-batch", {"alert_ids": some}).items():
                answers[name] += found
            advance(to=sum(map(len, answers.values())))
    out.data(answers)
    for name, found in answers.items():
        if found:
            out.line(f"{name.replace('_', ' ').capitalize()}: {', '.join(map(str, found))}")
    if not ids:
        out.line("Nothing is pending.")
    return Exit.NOT_FOUND if answers["not_found"] else Exit.DONE


def _parts(ids: list[int], size: int) -> Iterator[list[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


@alert.command()
@click.argument("alert_id", type=int)
@asks_server
def explain(api: Api, out: Output, alert_id: int) -> None:
    """Say why each webhook was told, was not, or waits."""
    found = api.get(f"/alerts/{alert_id}/explain")
    out.data(found)
    out.line(f"Alert {found['alert_id']} is {found['status']}.")
    for one in found["decisions"]:
        out.line(f"  {moment(one['at'])}  {one['stage']}: {_decision(one)}")
    for one in found["follow_ups"]:
        state = one["outcome"] or f"due {moment(one['due_at'])}"
        out.line(f"  to come: {one['kind']} {one['number']}, {state}")
    for one in found["webhooks"]:
        verb = "was told" if one["told"] else "was not told"
        out.line("")
        out.line(f"{one['name']} ({one['webhook_id']}) {verb}: {one['reason']}", "bold")
        for message in one["messages"]:
            out.line(f"  {message['type']}, {message['status']}: {message['reason'] or '–'}")
            if message["waits"]:
                until = message["waits"].get("until")
                out.line(f"    waits: {message['waits']['reason']}, until {moment(until)}")
            for step in message["trace"]:
                out.line(f"    {moment(step['at'])}  {step['stage']}: {_decision(step)}")


def _decision(one: dict[str, Any]) -> str:
    """The reason, and whatever else is known of a step."""
    told = {"at", "stage", "reason", "detail"}
    rest = [
        f"{name} {value}" for name, value in one.items() if name not in told and value is not None
    ]
    detail = [one["detail"]] if one.get("detail") else []
    return ", ".join([str(one["reason"] or "–"), *rest, *detail])
