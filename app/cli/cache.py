"""`tocsin cache`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from app.cli.client import Api, Refused
from app.cli.exits import Exit, Failure
from app.cli.options import asks_server
from app.cli.output import Output
from app.cli.progress import bar


@click.group()
def cache() -> None:
    """The cache: warm, stats."""


@cache.command()
@asks_server
def stats(api: Api, out: Output) -> None:
    """How often each level had the answer."""
    with _may_be_missing(api):
        found = api.get("/cache/stats")
    out.data(found)
    out.fields(_flat(found))


@cache.command()
@asks_server
def warm(api: Api, out: Output) -> None:
    """Fill the cache with what is asked for most."""
    with _may_be_missing(api), bar("Warming the cache"):
        done = api.post("/cache/warm")
    out.data(done)
    out.line(f"{done['entries']} entries in {done['duration_ms']:.0f} ms")


@contextmanager
def _may_be_missing(api: Api) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if refused.status not in {404, 405}:
            raise
        raise Failure(
            Exit.NOT_FOUND,
            f"{api.url} has no such route: it is an older Tocsin than this command line.",
        ) from None


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """`{"l1": {"hits": 3}}` → `("l1 hits", 3)`; rates as parts of a hundred."""
    for name, value in tree.items():
        label = f"{above} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, label)
        elif isinstance(value, (int, float)) and name.endswith("rate"):
            yield label, f"{value:.1%}"
        else:
            yield label, value
