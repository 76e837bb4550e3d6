"""What a person, or with `--json` a program, gets to see.

Titles and names come from whoever may raise an alert. A terminal obeys control characters, so
none is let through.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

# What is read by a program, or kept in a file, is not wrapped.
UNWRAPPED_COLUMNS = 10_000
STYLES = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "healthy": "green",
    "degraded": "yellow",
    "unavailable": "bold red",
    "unknown": "dim",
    "delivered": "green",
    "retrying": "yellow",
    "failed": "bold red",
    "succeeded": "green",
    "cancelled": "dim",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "skip": "dim",
}


class Output:
    """`as_json`: stdout holds one JSON document and nothing else; remarks go to stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def data(self, value: Any) -> None:
        """The answer as a whole, for programs; nothing for people."""
        if self.as_json:
            # As ASCII: what is in a title can't do anything to a terminal here, either.
            click.echo(json.dumps(value, indent=2))

    def line(self, text: str, style: str = "") -> None:
        if not self.as_json:
            console().print(cell(text, style), soft_wrap=True)

    def parts(self, *parts: str | tuple[str, str]) -> None:
        """A line of texts with a space between them; a pair has its style, or its meaning."""
        if self.as_json:
            return
        line = Text()
        for part in parts:
            text, style = (part, "") if isinstance(part, str) else part
            line.append_text(cell(text, STYLES.get(style, style))).append(" ")
        line.rstrip()
        console().print(line, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Nothing where there is no row, since an empty table says less than a sentence."""
        if self.as_json:
            return
        shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for name in columns:
            shown.add_column(name, overflow="fold")
        for row in rows:
            shown.add_row(*(cell(value) for value in row))
        if shown.row_count:
            console().print(shown)

    def fields(self, pairs: Iterable[tuple[str, Any]]) -> None:
        if self.as_json:
            return
        shown = Table.grid(padding=(0, 2))
        for name, value in pairs:
            shown.add_row(Text(name, style="bold"), cell(value))
        console().print(shown)


def console(*, stderr: bool = False) -> Console:
    """Made anew each time: it goes to what is stdout now, as wide as that is now."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNWRAPPED_COLUMNS
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def cell(value: Any, style: str = "") -> Text:
    """Harmless text, in the colour of its meaning."""
    text = plain(value)
    return Text(text, style=style or STYLES.get(text, ""))


def plain(value: Any) -> str:
    """One line without control characters; times in UTC, to the second."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    text = str(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else "�" for one in " ".join(text.splitlines()))


def moment(text: str | None) -> str:
    """`2026-11-24 05:13:46Z` for a time as the API gives it."""
    if text is None:
        return "–"
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(text: str | None, now: datetime) -> str:
    """`3 min` for a time as the API gives it."""
    return "–" if text is None else span(now - datetime.fromisoformat(text))


def span(time: timedelta) -> str:
    """A length of time in its largest unit."""
    seconds = max(time.total_seconds(), 0)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
