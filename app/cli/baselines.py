"""`tocsin baseline`."""

from itertools import islice

import click

from app.cli.client import Api
from app.cli.jobs import follow
from app.cli.options import asks_server, limit_option
from app.cli.output import Output, moment


@click.group()
def baseline() -> None:
    """What is usual: list, recalc."""


@baseline.command("list")
@click.option("--operation")
@limit_option(1000)
@asks_server
def list_(api: Api, out: Output, operation: str | None, limit: int) -> None:
    """The baseline in force of each operation."""
    found = list(islice(api.items("/baselines", operation=operation), limit))
    out.data(found)
    if not found:
        out.line("There is no baseline yet.")
    out.table(
        ("Operation", "Version", "Samples", "p50", "p95", "p99", "Computed at"),
        (
            (
                one["operation"],
                one["version"],
                one["sample_count"],
                one["p50"],
                one["p95"],
                one["p99"],
                moment(one["computed_at"]),
            )
            for one in found
        ),
    )


@baseline.command()
@click.argument("operation", required=False)
@click.option("--no-wait", is_flag=True, help="Don't wait for its end.")
@asks_server
def recalc(api: Api, out: Output, operation: str | None, no_wait: bool) -> int:
    """Recalculate the baseline of an operation, or all; exit code 1 if it fails."""
    asked = api.post("/baselines/recalculate", {"operation": operation})
    return follow(api, out, asked, wait=not no_wait)
