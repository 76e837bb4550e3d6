"""`tocsin redrive`."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from app.cli.client import Api
from app.cli.exits import Exit, Failure
from app.cli.options import Duration, asks_server
from app.cli.output import Output, moment
from app.cli.progress import bar, watch
from app.cli.webhooks import find_webhook

WAIT_SECONDS = 3600.0


@click.command()
@click.option("--webhook", multiple=True, help="What was for this one, by id or name; repeatable.")
@click.option("--alert", "alert_id", type=int, multiple=True, help="Of this alert; repeatable.")
@click.option("--reason", multiple=True, help="That ended so, e.g. attempts_exhausted; repeatable.")
@click.option("--severity", multiple=True, type=click.Choice(["info", "warning", "critical"]))
@click.option(
    "--status", multiple=True, type=click.Choice(["failed", "cancelled"]), help="Default: failed."
)
@click.option("--since", type=Duration(), help="That ended so long ago or later: 15m, 2h, 7d.")
@click.option("--include-superseded", is_flag=True, help="Also tell of alerts that are over.")
@click.option("--dry-run", is_flag=True, help="Only say what matches.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--no-wait", is_flag=True, help="Don't wait until all is on its way.")
@asks_server
def redrive(
    api: Api,
    out: Output,
    webhook: tuple[str, ...],
    since: timedelta | None,
    include_superseded: bool,
    dry_run: bool,
    yes: bool,
    no_wait: bool,
    **lists: tuple[Any, ...],
) -> None:
    """Try again what failed.

    Each delivery keeps its webhook-id, and has its whole schedule again.
    """
    wanted: dict[str, Any] = {name: list(values) for name, values in lists.items() if values}
    if webhook:
        wanted["webhook_id"] = [find_webhook(api, one)["id"] for one in webhook]
    if since is not None:
        wanted["since"] = (datetime.now(UTC) - since).isoformat()
    if include_superseded:
        wanted["include_superseded"] = True

    if dry_run or not yes:
        preview = api.post("/deliveries/redrive", {"filter": wanted, "dry_run": True})
        _show_preview(out, preview)
        if dry_run:
            out.data(preview)
            return
        if not preview["total"]:
            out.data({"total": 0})
            return
        if out.as_json or not sys.stdin.isatty():
            raise Failure(Exit.USAGE, "Nobody can be asked here: give --yes, or --dry-run.")
        click.confirm("Try all of it again?", abort=True)
    started = api.post("/deliveries/redrive", {"filter": wanted, "dry_run": False})
    done = started if no_wait else _follow(api, started)
    out.data(done)
    out.line(
        f"Redrive {done['id']} is {done['status']}: {done['requeued']} of {done['total']} are on"
        f" their way, {done['skipped']} skipped, {done['delivered']} delivered by now."
    )
    out.fields(done["skipped_by_reason"].items())


def _show_preview(out: Output, preview: dict[str, Any]) -> None:
    total = preview["total"]
    out.line("1 delivery matches." if total == 1 else f"{total} deliveries match.")
    out.table(
        ("Count", "Webhook", "Active"),
        ((one["count"], one["name"], one["is_active"]) for one in preview["by_webhook"]),
    )
    out.table(("Count", "Reason"), ((one["count"], one["reason"]) for one in preview["by_reason"]))
    out.table(
        ("Delivery", "Alert", "Webhook", "Type", "Ended"),
        (
            (
                one["id"],
                one["alert_id"],
                one["webhook_id"],
                one["type"],
                moment(one["finished_at"]),
            )
            for one in preview["sample"]
        ),
    )


def _follow(api: Api, started: dict[str, Any]) -> dict[str, Any]:
    """Ctrl-C ends the watching, not the redrive."""
    with bar(f"Redrive {started['id']}", started["total"]) as advance:

        def look() -> dict[str, Any]:
            found: dict[str, Any] = api.get(f"/deliveries/redrives/{started['id']}")
            advance(to=found["requeued"] + found["skipped"])
            return found

        return watch(
            look,
            lambda one: one["status"] != "running",
            within_seconds=WAIT_SECONDS,
            every_seconds=1.0,
        )
