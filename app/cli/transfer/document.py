"""The file: YAML that means what it says.

YAML 1.1 reads `no` as false, `22:00` as 1320 and a second `name:` as the first one's successor.
Here only JSON's kinds of values are more than text, and a key is there once.
"""

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from app.cli.exits import Exit, Failure
from app.cli.transfer.sections import SECTIONS, Entry

FORMAT: Final = 1
MAX_CHARS = 16 * 1024 * 1024

Document = dict[str, list[Entry]]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as the base class has it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """A list in a list is set in from it, as people write it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


# What is read as something else than text; the dumper puts quotes around such texts, too.
for tag, pattern, first in (
    ("bool", r"true|false", ["t", "f"]),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"-?(0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", list("-0123456789")),
):
    for kind in (_Loader, _Dumper):
        kind.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$"), first)


def write(document: Document) -> str:
    head = "# Made by `tocsin export`; `tocsin import` reads it. Headers may hold secrets.\n"
    body = yaml.dump(
        {"tocsin": FORMAT, **document},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return head + body


def read(text: str) -> Document:
    """Raises Failure for what is no such file. Entries are not looked into yet."""
    if len(text) > MAX_CHARS:
        raise Failure(Exit.USAGE, "The file is too large.")
    try:
        found = yaml.load(text, Loader=_Loader)  # noqa: S506 - of the safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise Failure(Exit.USAGE, f"This is no YAML: {error}") from None
    if not isinstance(found, dict) or found.get("tocsin") != FORMAT:
        raise Failure(Exit.USAGE, f"The file must say `tocsin: {FORMAT}`, which is its format.")
    known = [section.name for section in SECTIONS]
    unknown = [str(name) for name in found if name != "tocsin" and name not in known]
    if unknown:
        raise Failure(
            Exit.USAGE, f"No such section: {', '.join(unknown)}. There are: {', '.join(known)}."
        )
    document: Document = {}
    for name in known:
        if name not in found:
            continue
        entries = found[name] or []
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise Failure(Exit.USAGE, f"{name} must be a list of entries, each with its fields.")
        document[name] = entries
    return document
