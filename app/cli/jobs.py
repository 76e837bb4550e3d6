"""`tocsin jobs`, and waiting for a run."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from app.cli.client import Api
from app.cli.exits import Exit, Failure
from app.cli.options import asks_server, limit_option
from app.cli.output import Output, ago, moment
from app.cli.progress import bar, watch

WAIT_SECONDS = 600.0
OVER = {"succeeded", "failed"}


class _ListByDefault(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def jobs() -> None:
    """What runs on a schedule: list (the default), history, run."""


@jobs.command("list")
@asks_server
def list_(api: Api, out: Output) -> int:
    """Every job with its last run; exit code 1 if a last run failed."""
    found = list(api.items("/jobs"))
    out.data(found)
    now = datetime.now(UTC)
    out.table(
        ("Job", "Lane", "Every", "Last run", "Status", "ms", "Missed 24 h", "Error"),
        (
            (
                one["name"],
                one["lane"],
                f"{one['interval_seconds']} s",
                ago(last["started_at"] or last["scheduled_for"], now) if last else None,
                last.get("status"),
                last.get("duration_ms"),
                one["missed_ticks_24h"],
                last.get("error"),
            )
            for one in found
            for last in [one["last_execution"] or {}]
        ),
    )
    failed = [one for one in found if (one["last_execution"] or {}).get("status") == "failed"]
    return Exit.FAILED if failed else Exit.DONE


@jobs.command()
@click.argument("name")
@limit_option()
@asks_server
def history(api: Api, out: Output, name: str, limit: int) -> None:
    """A job's runs, the newest first."""
    found = list(islice(api.items(f"/jobs/{name}/executions"), limit))
    out.data(found)
    out.table(
        ("ID", "Trigger", "Scheduled for", "Status", "ms", "Missed", "Worker", "Error"),
        (
            (
                one["id"],
                one["trigger"],
                moment(one["scheduled_for"]),
                one["status"],
                one["duration_ms"],
                one["missed_ticks"],
                one["worker"],
                one["error"],
            )
            for one in found
        ),
    )


@jobs.command()
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Don't wait for its end.")
@asks_server
def run(api: Api, out: Output, name: str, no_wait: bool) -> int:
    """Run a job now; exit code 1 if it fails."""
    return follow(api, out, api.post(f"/jobs/{name}/run"), wait=not no_wait)


def follow(api: Api, out: Output, execution: dict[str, Any], *, wait: bool) -> int:
    """Show a run by hand, once it is over if `wait`. Answers the exit code."""
    name = execution["job_name"]
    if wait:
        with bar(f"Running {name}"):
            execution = watch(
                lambda: _find(api, execution),
                lambda one: one["status"] in OVER,
                within_seconds=WAIT_SECONDS,
            )
    out.data(execution)
    took = "" if execution["duration_ms"] is None else f" in {execution['duration_ms']:.0f} ms"
    out.line(f"{name}, run {execution['id']}: {execution['status']}{took}")
    out.fields((execution["result"] or {}).items())
    if execution["error"]:
        out.line(execution["error"], "bold red")
    return Exit.FAILED if execution["status"] == "failed" else Exit.DONE


def _find(api: Api, execution: dict[str, Any]) -> dict[str, Any]:
    for one in api.items(f"/jobs/{execution['job_name']}/executions"):
        if one["id"] == execution["id"]:
            return one
    raise Failure(Exit.NOT_FOUND, f"Run {execution['id']} is gone.")
