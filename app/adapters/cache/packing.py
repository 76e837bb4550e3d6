"""An entry as bytes for Redis: a version of the format in front, a header, the body.

What can't be read, for whatever reason, is a miss.
"""

import struct
from functools import lru_cache

from app.adapters.cache.entry import Entry
from app.domain.snapshot import Snapshot

FORMAT = 1
# Format, negative, loaded_at, good, and the lengths of the etag, the generation and the snapshot.
_HEADER = struct.Struct(">B?ddHHI")
# What was loaded together has the same one.
_snapshot = lru_cache(256)(Snapshot.parse)


def pack(entry: Entry, generation: str) -> bytes:
    """Etags and generations are ASCII."""
    etag, snapshot = entry.etag, str(entry.snapshot)
    lengths = len(etag), len(generation), len(snapshot)
    header = _HEADER.pack(FORMAT, entry.negative, entry.loaded_at, entry.good, *lengths)
    return b"".join((header, f"{etag}{generation}{snapshot}".encode("ascii"), entry.body))


def unpack(packed: bytes | None) -> tuple[Entry, str] | None:
    """The entry and its generation."""
    if packed is None or len(packed) < _HEADER.size or packed[0] != FORMAT:
        return None
    _, negative, loaded_at, good, etag, generation, snapshot = _HEADER.unpack_from(packed)
    generation += etag
    body = _HEADER.size + generation + snapshot
    try:
        text = packed[_HEADER.size : body].decode("ascii")
        entry = Entry(
            packed[body:],
            text[:etag],
            loaded_at,
            good,
            _snapshot(text[generation:]),
            negative,
        )
    except ValueError:
        return None
    return entry, text[etag:generation]
