"""What an import would do: pure, from the file and from what the server has."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from marshmallow import EXCLUDE, Schema, ValidationError

from app.api.errors import flat_messages
from app.cli.exits import Exit, Failure
from app.cli.transfer.document import Document
from app.cli.transfer.sections import SECTIONS, Entry, Section, as_ids, as_names

Action = Literal["add", "change", "delete"]


@dataclass(frozen=True)
class Change:
    """`fields`: what a field is, and what it becomes; of something new, all of its fields."""

    action: Action
    section: Section
    label: str
    fields: Mapping[str, tuple[Any, Any]]
    thing_id: int | None = None
    body: Mapping[str, Any] | None = None  # with names of webhooks in it


@dataclass(frozen=True)
class Plan:
    changes: Sequence[Change]
    unchanged: int
    notes: Sequence[str]


class Names:
    """Webhooks by name. Raises Failure where a name that is needed stands for several."""

    def __init__(self, webhooks: Sequence[Entry]) -> None:
        self._names = {one["id"]: one["name"] for one in webhooks}
        self._ids: dict[str, list[int]] = defaultdict(list)
        for one in webhooks:
            self._ids[one["name"]].append(one["id"])

    def name_of(self, webhook_id: int) -> str | None:
        """None for one that was deleted."""
        name = self._names.get(webhook_id)
        if name is not None:
            self._require_one(name)
        return name

    def id_of(self, name: str) -> int:
        self._require_one(name)
        if not self._ids.get(name):
            raise Failure(Exit.USAGE, f"There is no webhook called {name}.")
        return self._ids[name][0]

    def knows(self, name: object) -> bool:
        return name in self._ids

    def made(self, name: str, webhook_id: int) -> None:
        self._ids[name].append(webhook_id)

    def _require_one(self, name: str) -> None:
        ids = self._ids.get(name, ())
        if len(ids) > 1:
            raise Failure(
                Exit.FAILED,
                f"Webhooks {', '.join(map(str, ids))} are all called {name}, so a file can't say"
                " which one is meant. Give each a name of its own.",
            )


def make_plan(
    document: Document, server: Mapping[str, Sequence[Entry]], *, prune: bool, now: datetime
) -> Plan:
    """`server`: by section, everything that counts. With `prune`, what the file's sections don't
    have is deleted. Raises Failure with every fault of the file at once.
    """
    names = Names(server["webhooks"])
    _check(document, names)
    made: list[Change] = []
    deleted: list[Change] = []
    notes: list[str] = []
    unchanged = 0
    for section in SECTIONS:
        if section.name not in document:
            continue
        pairs, left = _pair(section, document[section.name], server[section.name], names)
        for entry, thing in pairs:
            if thing is None:
                if _is_over(section, entry, now):
                    notes.append(
                        f"{section.name}: {section.label(entry)} is over, so it is not made."
                    )
                else:
                    fields = {name: (None, value) for name, value in entry.items()}
                    made.append(Change("add", section, section.label(entry), fields, body=entry))
                continue
            fields = differences(section, entry, as_names(section, thing, names.name_of))
            if not fields:
                unchanged += 1
                continue
            body = {name: entry[name] for name in {path.partition(".")[0]: None for path in fields}}
            made.append(Change("change", section, section.label(entry), fields, thing["id"], body))
        if prune:
            deleted += [
                Change("delete", section, section.label(thing), {}, thing["id"]) for thing in left
            ]
    return Plan([*made, *reversed(deleted)], unchanged, notes)


def _check(document: Document, names: Names) -> None:
    in_file = {entry.get("name") for entry in document.get("webhooks", ())}
    faults: list[str] = []
    for section in SECTIONS:
        for index, entry in enumerate(document.get(section.name, ())):
            where = f"{section.name}[{index}]"

            def placeholder(name: Any, where: str = where) -> int:
                if name not in in_file and not names.knows(name):
                    faults.append(f"{where}: there is no webhook called {name}.")
                return 1

            try:
                section.schema().load(as_ids(section, entry, placeholder))
            except ValidationError as error:
                for field, said in flat_messages(error.messages).items():
                    faults.append(f"{where}.{field}: {' '.join(said)}")
    if faults:
        raise Failure(Exit.USAGE, "\n".join(["The file is not right:", *faults]))


def _pair(
    section: Section, entries: Sequence[Entry], things: Sequence[Entry], names: Names
) -> tuple[list[tuple[Entry, Entry | None]], list[Entry]]:
    """Each entry with what it is on the server, or None; and what no entry speaks of.

    Where several have one identity, equal ones find each other first, then in the order of ids.
    """
    there: dict[str, list[Entry]] = defaultdict(list)
    for thing in sorted(things, key=lambda one: int(one["id"])):
        there[section.identity(thing)].append(thing)
    pairs: list[tuple[Entry, Entry | None]] = []
    later = []
    for entry in entries:
        alike = there[section.identity(entry)]
        same = next(
            (
                thing
                for thing in alike
                if not differences(section, entry, as_names(section, thing, names.name_of))
            ),
            None,
        )
        if same is None:
            later.append(entry)
        else:
            alike.remove(same)
            pairs.append((entry, same))
    for entry in later:
        alike = there[section.identity(entry)]
        pairs.append((entry, alike.pop(0) if alike else None))
    return pairs, [thing for alike in there.values() for thing in alike]


def differences(section: Section, entry: Entry, shown: Entry) -> dict[str, tuple[Any, Any]]:
    """What an entry says otherwise than the server, by field: is, and is to be."""
    wanted = _normal(section, entry)
    current = _normal(section, shown)
    found: dict[str, tuple[Any, Any]] = {}
    for name, value in wanted.items():
        if name == "health_check":
            for part, inner in value.items():
                if inner != current[name].get(part):
                    found[f"{name}.{part}"] = (shown[name].get(part), entry[name][part])
        elif value != current.get(name):
            found[name] = (shown.get(name), entry[name])
    return found


def _normal(section: Section, entry: Entry) -> Entry:
    """As the schema reads it, so that two ways to write a thing are one; names stay names."""
    loaded: Entry = _shape(section.schema).load(as_ids(section, entry, lambda _name: 1))
    for name in ("depends_on", "webhooks"):
        if name in entry:
            loaded.pop("webhook_ids", None)
            loaded[name] = sorted(entry[name])
    if "steps" in entry:
        loaded["steps"] = [
            (step["after_minutes"], sorted(step["webhooks"])) for step in entry["steps"]
        ]
    return loaded


def _is_over(section: Section, entry: Entry, now: datetime) -> bool:
    ends_at = _shape(section.schema).load(entry).get("ends_at") if "ends_at" in entry else None
    return ends_at is not None and ends_at <= now


@cache
def _shape(schema: type[Schema]) -> Schema:
    return schema(unknown=EXCLUDE)
