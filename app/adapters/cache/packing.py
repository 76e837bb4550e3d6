"""An entry as bytes for Redis: a version of the format in front, a header, the body.

What can't be read, for whatever reason, is a miss.
"""

import struct

from app.adapters.cache.entry import Entry
from app.domain.snapshot import Snapshot

FORMAT = 1
# Format, negative, loaded_at, good, and the lengths of the etag, the generation and the snapshot.
_HEADER = struct.Struct(">B?ddHHI")


def pack(entry: Entry, generation: str) -> bytes:
    texts = [text.encode() for text in (entry.etag, generation, str(entry.snapshot))]
    header = _HEADER.pack(FORMAT, entry.negative, entry.loaded_at, entry.good, *map(len, texts))
    return b"".join((header, *texts, entry.body))


def unpack(packed: bytes | None) -> tuple[Entry, str] | None:
    """The entry and its generation."""
    if packed is None or len(packed) < _HEADER.size or packed[0] != FORMAT:
        return None
    _, negative, loaded_at, good, *lengths = _HEADER.unpack_from(packed)
    texts, at = [], _HEADER.size
    try:
        for length in lengths:
            texts.append(packed[at : at + length].decode())
            at += length
        etag, generation, snapshot = texts
        entry = Entry(packed[at:], etag, loaded_at, good, Snapshot.parse(snapshot), negative)
    except ValueError:
        return None
    return entry, generation
