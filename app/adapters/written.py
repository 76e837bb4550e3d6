"""What a statement writes to, read from its text.

Every statement of ours names its tables with their schema, so that one regular expression finds
them. It may find too much (a table in a string), never too little: what PostgreSQL writes by
itself, because a foreign key says so, is added from the models. `/* unseen */` in a statement says
that no answer shows what it changes: a lease, a heartbeat.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from app.domain.partitions import partition_called
from models import Base

UNSEEN = "/* unseen */"
# As many as there are statements, and some that are put together anew each time.
STATEMENTS_KNOWN = 1024

_NAME = r'"?(\w+)"?\."?(\w+)"?'
_WRITES = re.compile(
    rf"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|COPY|TRUNCATE|DROP\s+TABLE)\s+"
    rf"(?:TABLE\s+|ONLY\s+|IF\s+EXISTS\s+)*{_NAME}",
    re.IGNORECASE,
)
_DELETES = ("DELETE", "TRUNCATE", "DROP", "MERGE")


@dataclass(frozen=True, slots=True)
class Written:
    """Transaction `xid` is over, and has written to these tables (`schema.table`).

    None: the connection was lost at the commit, and nobody knows.
    """

    tables: frozenset[str]
    xid: int | None


@lru_cache(STATEMENTS_KNOWN)
def tables_written(statement: str | bytes) -> frozenset[str]:
    """The tables (`schema.table`, partitions by their parent) that a statement writes to."""
    text = statement.decode() if isinstance(statement, bytes) else statement
    if UNSEEN in text:
        return frozenset()
    tables: set[str] = set()
    for verb, schema, name in _WRITES.findall(text):
        partition = partition_called(name)
        table = f"{schema}.{partition.parent if partition else name}"
        tables.add(table)
        if verb.upper().startswith(_DELETES):
            tables |= _follows_deletion().get(table, frozenset())
    return frozenset(tables)


@cache
def _follows_deletion() -> dict[str, frozenset[str]]:
    """By table: where a deletion changes rows by itself, at any remove."""
    at_once: dict[str, set[str]] = {}
    for table in Base.metadata.tables.values():
        for key in table.foreign_keys:
            if key.ondelete is not None:
                at_once.setdefault(key.column.table.fullname, set()).add(table.fullname)
    return {table: _reached(table, at_once) for table in at_once}


def _reached(table: str, at_once: dict[str, set[str]]) -> frozenset[str]:
    reached: set[str] = set()
    ahead: Iterable[str] = at_once[table]
    while new := set(ahead) - reached:
        reached |= new
        ahead = (below for one in new for below in at_once.get(one, ()))
    return frozenset(reached)
