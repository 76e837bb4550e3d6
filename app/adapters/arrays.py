"""PostgreSQL arrays as the texts that it reads, for statements that take many rows at once.

The driver would look at each element for its type and for what must be quoted; where the type is
known, that is most of what such a statement costs here. Give them to a parameter that is cast.
None is NULL.
"""

from collections.abc import Iterable
from datetime import datetime

import orjson


def number_array(values: Iterable[float | None]) -> str:
    """Finite numbers and booleans."""
    return _as_json(values)


def word_array(values: Iterable[str | None]) -> str:
    """Words of letters, digits, `_` and `-` that are not `null`."""
    return f"{{{','.join(['NULL' if one is None else one for one in values])}}}"


def time_array(values: Iterable[datetime | None]) -> str:
    return _as_json(values)


def bytes_array(values: Iterable[bytes | None]) -> str:
    return f"{{{','.join(['NULL' if one is None else _hex(one) for one in values])}}}"


def text_array(values: Iterable[str | None]) -> str:
    """Any texts. Raises nothing for what PostgreSQL can't store: that is for the server to say."""
    return f"{{{','.join(['NULL' if one is None else _quoted(one) for one in values])}}}"


def _as_json(values: Iterable[object]) -> str:
    """JSON's list of these is PostgreSQL's array but for the brackets, and written much faster."""
    return f"{{{orjson.dumps(list(values))[1:-1].decode()}}}"


def _hex(data: bytes) -> str:
    """PostgreSQL's hex format (8.4.1), its backslash escaped as in any quoted element (8.15.6)."""
    return f'"\\\\x{data.hex()}"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
