"""`tocsin export` and `tocsin import`."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from app.cli.client import Api
from app.cli.exits import Exit, Failure
from app.cli.options import asks_server
from app.cli.output import Output, plain
from app.cli.progress import bar
from app.cli.transfer.document import Document, read, write
from app.cli.transfer.plan import Change, Names, Plan, make_plan
from app.cli.transfer.sections import SECTIONS, Entry, as_ids, as_names

SIGNS = {"add": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}


@click.command()
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Left out: stdout."
)
@asks_server
def export(api: Api, out: Output, output: Path | None) -> None:
    """Write webhooks, rules, silences and schedules as YAML.

    Secrets that sign are not in it; the headers of webhooks are.
    """
    server = _everything(api)
    names = Names(server["webhooks"])
    document: Document = {
        section.name: [
            as_names(section, one, names.name_of) for one in reversed(server[section.name])
        ]
        for section in SECTIONS
    }
    if out.as_json:
        out.data({"tocsin": 1, **document})
    elif output is None:
        click.echo(write(document), nl=False)
    else:
        _write_private(output, write(document))
        counts = ", ".join(f"{len(found)} {name}" for name, found in document.items())
        click.echo(f"{output}: {counts}", err=True)


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--dry-run", is_flag=True, help="Only show what would change; exit code 6 if any.")
@click.option("--prune", is_flag=True, help="Delete what the file's sections don't have.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks_server
def import_(api: Api, out: Output, file: Any, dry_run: bool, prune: bool, yes: bool) -> int:
    """Make the server what a YAML file says.

    The difference is shown first. What the file leaves out stays as it is. The same file twice
    changes nothing. FILE may be -.
    """
    document = read(file.read())
    server = _everything(api)
    plan = make_plan(document, server, prune=prune, now=datetime.now(UTC))
    _show(out, plan)
    if dry_run or not plan.changes:
        out.data(_as_data(plan, 0, {}))
        return Exit.DIFFERS if plan.changes else Exit.DONE
    if not yes:
        if out.as_json or not sys.stdin.isatty():
            raise Failure(Exit.USAGE, "Nobody can be asked here: give --yes, or --dry-run.")
        click.confirm("Do it?", abort=True)
    secrets: dict[str, str] = {}
    done = 0
    try:
        with bar("Importing", len(plan.changes)) as advance:
            for _change in _apply(api, plan, Names(server["webhooks"]), secrets):
                done += 1
                advance()
    except Failure as failure:
        raise Failure(
            failure.code,
            f"{failure}\n{done} of {len(plan.changes)} changes are made, and stay. Mend the file,"
            " and import it again: it goes on from there.",
        ) from None
    finally:
        out.data(_as_data(plan, done, secrets))
        for name, secret in secrets.items():
            out.line(f"Secret of {plain(name)} (shown this once): {secret}")
    out.line(f"{done} changes are made.")
    return Exit.DONE


def _everything(api: Api) -> dict[str, list[Entry]]:
    """By section, what counts, the newest first."""
    return {
        section.name: [one for one in api.items(section.path) if section.counts(one)]
        for section in SECTIONS
    }


def _apply(api: Api, plan: Plan, names: Names, secrets: dict[str, str]) -> Iterator[Change]:
    """Yields each change that is made. Webhooks are all made before anything names them."""
    dependencies: list[tuple[Change, int, list[str]]] = []
    for change in plan.changes:
        if change.section.name != "webhooks":
            _depend(api, names, dependencies)
        path, body = change.section.path, dict(change.body or {})
        depends_on = body.pop("depends_on", None) if change.section.name == "webhooks" else None
        thing_id = change.thing_id
        if change.action == "delete":
            api.delete(f"{path}/{thing_id}")
        elif thing_id is None:
            made = api.post(path, _with_ids(change, body, names))
            thing_id = made["id"]
            if change.section.name == "webhooks":
                names.made(made["name"], made["id"])
                secrets[made["name"]] = made["secret"]
        elif body:
            api.patch(f"{path}/{thing_id}", _with_ids(change, body, names))
        if depends_on is not None and thing_id is not None:
            dependencies.append((change, thing_id, depends_on))
        yield change
    _depend(api, names, dependencies)


def _depend(api: Api, names: Names, dependencies: list[tuple[Change, int, list[str]]]) -> None:
    while dependencies:
        change, webhook_id, depends_on = dependencies.pop(0)
        body = _with_ids(change, {"depends_on": depends_on}, names)
        api.patch(f"{change.section.path}/{webhook_id}", body)


def _with_ids(change: Change, fields: Mapping[str, Any], names: Names) -> Entry:
    return as_ids(change.section, fields, names.id_of)


def _show(out: Output, plan: Plan) -> None:
    section = None
    for change in plan.changes:
        if change.section.name != section:
            section = change.section.name
            out.line(section, "bold")
        sign, style = SIGNS[change.action]
        out.line(f"  {sign} {plain(change.label)}", style)
        for name, (before, after) in change.fields.items():
            if change.action == "change":
                out.line(f"      {name}: {_brief(before)} → {_brief(after)}")
            elif name != "name":
                out.line(f"      {name}: {_brief(after)}")
    for note in plan.notes:
        out.line(note)
    counts = {action: sum(one.action == action for one in plan.changes) for action in SIGNS}
    out.line(
        f"{counts['add']} to add, {counts['change']} to change, {counts['delete']} to delete,"
        f" {plan.unchanged} the same."
    )


def _brief(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _as_data(plan: Plan, applied: int, secrets: Mapping[str, str]) -> dict[str, Any]:
    return {
        "changes": [
            {
                "action": change.action,
                "section": change.section.name,
                "label": change.label,
                "fields": {
                    name: {"from": before, "to": after}
                    for name, (before, after) in change.fields.items()
                },
            }
            for change in plan.changes
        ],
        "unchanged": plan.unchanged,
        "notes": list(plan.notes),
        "applied": applied,
        "secrets": dict(secrets),
    }
