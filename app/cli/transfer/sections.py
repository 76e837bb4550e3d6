"""The sections of a file: what is in an entry, and which entry is which on a server."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from marshmallow import Schema

from app.api.schemas.baselines import ScheduleCreateSchema
from app.api.schemas.inhibition_rules import InhibitionRuleCreateSchema
from app.api.schemas.routing_rules import RoutingRuleCreateSchema
from app.api.schemas.silences import SilenceCreateSchema
from app.api.schemas.webhooks import WebhookCreateSchema

Entry = dict[str, Any]
Resolve = Callable[[Any], Any]


def _always(_thing: Entry) -> bool:
    return True


@dataclass(frozen=True)
class Section:
    """`identity` makes an entry and what the server shows of the same thing equal; `label` is how
    people call it. `counts` picks what belongs into a file from what the server shows.
    """

    name: str
    path: str
    schema: type[Schema]
    label: Callable[[Entry], str]
    identity: Callable[[Entry], str] = field(default=lambda entry: str(entry.get("name")))
    counts: Callable[[Entry], bool] = _always
    left_out: frozenset[str] = frozenset()

    @property
    def fields(self) -> tuple[str, ...]:
        """What can be given, in the order of a file."""
        return tuple(name for name in self.schema().fields if name not in self.left_out)


def _name(entry: Entry) -> str:
    return str(entry.get("name"))


def _operation(entry: Entry) -> str:
    return str(entry.get("operation"))


def _silence_identity(entry: Entry) -> str:
    """It has no name: what it mutes and why. Its times may change."""
    loaded = SilenceCreateSchema(only=("matchers",)).load({"matchers": entry.get("matchers")})
    kind = entry.get("kind") or "silence"
    return json.dumps([kind, entry.get("comment"), loaded["matchers"]], sort_keys=True)


def _silence_label(entry: Entry) -> str:
    said = entry.get("comment")
    if said:
        return str(said)
    return ", ".join(
        one if isinstance(one, str) else f"{one['name']}{one['op']}{one['value']}"
        for one in entry.get("matchers") or ()
    )


# In the order in which they are made; they are deleted in the opposite one.
SECTIONS: Final = (
    Section("webhooks", "/webhooks", WebhookCreateSchema, _name),
    Section("routing_rules", "/routing-rules", RoutingRuleCreateSchema, _name),
    Section("inhibition_rules", "/inhibition-rules", InhibitionRuleCreateSchema, _name),
    Section(
        "silences",
        "/silences",
        SilenceCreateSchema,
        _silence_label,
        identity=_silence_identity,
        counts=lambda shown: shown["status"] != "expired",
    ),
    Section(
        "baseline_schedules",
        "/baselines/schedules",
        ScheduleCreateSchema,
        _operation,
        identity=_operation,
        # Default ones come by themselves, and one that is made takes their place.
        counts=lambda shown: not shown["is_default"],
        left_out=frozenset({"next_run_at"}),
    ),
)


def as_names(section: Section, thing: Mapping[str, Any], name_of: Resolve) -> Entry:
    """An entry for what the server shows: its fields, with webhooks by their names."""
    entry = {name: thing[name] for name in section.fields if name in thing}
    if section.name == "webhooks":
        entry["depends_on"] = _known(entry["depends_on"], name_of)
    if section.name == "routing_rules":
        entry["webhooks"] = _known(entry.pop("webhook_ids"), name_of)
        entry["steps"] = [
            {
                "after_minutes": step["after_minutes"],
                "webhooks": _known(step["webhook_ids"], name_of),
            }
            for step in entry["steps"]
        ]
    return entry


def _known(webhook_ids: list[int], name_of: Resolve) -> list[str]:
    """Without those that were deleted, which nobody is told by."""
    return [name for one in webhook_ids if (name := name_of(one)) is not None]


def as_ids(section: Section, entry: Mapping[str, Any], id_of: Resolve) -> Entry:
    """What the API takes, of an entry or of some of its fields. What has no right shape is left
    for the schema to find.
    """
    body = dict(entry)
    if section.name == "webhooks" and "depends_on" in body:
        body["depends_on"] = _each(body["depends_on"], id_of)
    if section.name == "routing_rules":
        _rename(body, id_of)
        if isinstance(body.get("steps"), list):
            body["steps"] = [
                _rename(dict(step), id_of) if isinstance(step, dict) else step
                for step in body["steps"]
            ]
    return body


def _rename(body: Entry, id_of: Resolve) -> Entry:
    if "webhooks" in body:
        body["webhook_ids"] = _each(body.pop("webhooks"), id_of)
    return body


def _each(names: Any, id_of: Resolve) -> Any:
    return [id_of(name) for name in names] if isinstance(names, list) else names
