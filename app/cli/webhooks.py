"""`tocsin webhook`."""

from itertools import islice
from typing import Any

import click

from app.cli.client import Api
from app.cli.exits import Exit, Failure
from app.cli.options import Label, asks_server, limit_option
from app.cli.output import Output, moment
from app.cli.progress import bar

HEALTH = click.Choice(["unknown", "healthy", "degraded", "unavailable"])


@click.group()
def webhook() -> None:
    """Where alerts go: add, list, check, test."""


@webhook.command()
@click.argument("name")
@click.argument("address", metavar="URL")
@click.option("--description")
@click.option("--every", type=int, help="Seconds from one health check to the next.")
@click.option("--request-timeout", type=int, help="Seconds for a message or a check.")
@click.option("--header", type=Label(), multiple=True, help="Sent with every message; repeatable.")
@click.option("--inactive", is_flag=True, help="Neither told nor checked, for now.")
@asks_server
def add(
    api: Api,
    out: Output,
    name: str,
    address: str,
    description: str | None,
    every: int | None,
    request_timeout: int | None,
    header: tuple[tuple[str, str], ...],
    inactive: bool,
) -> None:
    """Register a webhook. Its secret is shown this once."""
    given: dict[str, Any] = {
        "name": name,
        "url": address,
        "description": description,
        "health_check_interval_seconds": every,
        "timeout_seconds": request_timeout,
        "headers": dict(header) or None,
        "is_active": False if inactive else None,
    }
    made = api.post(
        "/webhooks", {field: value for field, value in given.items() if value is not None}
    )
    out.data(made)
    out.line(f"Webhook {made['id']}, {made['name']}: {made['url']}")
    out.line(f"Secret (shown this once): {made['secret']}")


@webhook.command("list")
@click.option("--health", type=HEALTH, help="Only those of this health.")
@click.option("--active/--inactive", "is_active", default=None, help="Only those.")
@limit_option(1000)
@asks_server
def list_(api: Api, out: Output, health: str | None, is_active: bool | None, limit: int) -> None:
    """List webhooks with their health."""
    found = list(islice(api.items("/webhooks", health_status=health, is_active=is_active), limit))
    out.data(found)
    if not found:
        out.line("There is no such webhook.")
    out.table(
        ("ID", "Name", "Health", "Active", "Every", "URL"),
        (
            (
                one["id"],
                one["name"],
                one["health_status"],
                one["disabled_reason"] or one["is_active"],
                f"{one['health_check_interval_seconds']} s",
                one["url"],
            )
            for one in found
        ),
    )


@webhook.command()
@click.argument("webhooks", metavar="WEBHOOK...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Every active webhook.")
@asks_server
def check(api: Api, out: Output, webhooks: tuple[str, ...], all_: bool) -> int:
    """Check webhooks now, by id or name; exit code 1 if one of them fails."""
    if all_ == bool(webhooks):
        raise click.UsageError("Name webhooks, or say --all.")
    found = (
        list(api.items("/webhooks", is_active=True))
        if all_
        else [find_webhook(api, one) for one in webhooks]
    )
    results = []
    with bar("Checking", len(found)) as advance:
        for one in found:
            results.append(api.post(f"/webhooks/{one['id']}/check") | {"name": one["name"]})
            advance()
    out.data(results)
    out.table(
        ("ID", "Name", "Outcome", "Health", "Status", "ms", "Reason", "Error"),
        (
            (
                one["webhook_id"],
                one["name"],
                one["outcome"],
                one["health_status"],
                one["http_status"],
                one["latency_ms"],
                one["reason"],
                one["error"],
            )
            for one in results
        ),
    )
    return Exit.FAILED if any(one["outcome"] == "failed" for one in results) else Exit.DONE


@webhook.command()
@click.argument("webhook_", metavar="WEBHOOK")
@asks_server
def test(api: Api, out: Output, webhook_: str) -> int:
    """Send a signed `webhook.ping` now; exit code 1 unless it is accepted."""
    found = find_webhook(api, webhook_)
    answer = api.post(f"/webhooks/{found['id']}/test")
    out.data(answer)
    out.fields(
        [
            ("Message", answer["message_id"]),
            ("Reason", answer["reason"]),
            ("Status", answer["http_status"]),
            ("Latency", f"{answer['latency_ms']:.1f} ms"),
            ("Error", answer["error"]),
            ("Body", answer["body_excerpt"]),
        ]
    )
    status = answer["http_status"]
    return Exit.DONE if status is not None and 200 <= status < 300 else Exit.FAILED


@webhook.command()
@click.argument("webhook_", metavar="WEBHOOK")
@asks_server
def show(api: Api, out: Output, webhook_: str) -> None:
    """Everything about a webhook, with its health."""
    found = find_webhook(api, webhook_)
    health = api.get(f"/webhooks/{found['id']}/health")
    out.data({"webhook": found, "health": health})
    out.fields((name, value) for name, value in found.items() if not name.endswith("_at"))
    out.line("")
    out.fields(
        (name, moment(value) if name.endswith(("_at", "_since")) else value)
        for name, value in health.items()
        if name not in {"webhook_id", "health_status"}
    )


def find_webhook(api: Api, id_or_name: str) -> dict[str, Any]:
    """Raises Failure where there is none, or more than one of the name."""
    if id_or_name.isascii() and id_or_name.isdigit():
        one: dict[str, Any] = api.get(f"/webhooks/{id_or_name}")
        return one
    named = [one for one in api.items("/webhooks") if one["name"] == id_or_name]
    if not named:
        raise Failure(Exit.NOT_FOUND, f"There is no webhook called {id_or_name}.")
    if len(named) > 1:
        ids = ", ".join(str(one["id"]) for one in named)
        raise Failure(Exit.FAILED, f"Several webhooks are called so; give an id of these: {ids}.")
    return named[0]
