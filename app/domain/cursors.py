"""Cursors: where a page of a list ended. Lists are newest first: a cursor is the last id seen."""

import base64
import binascii

_PREFIX = b"before:"
_MAX_ID = 2**63 - 1


def encode_cursor(last_id: int) -> str:
    return base64.urlsafe_b64encode(_PREFIX + str(last_id).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Raises ValueError for anything that `encode_cursor` did not make."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not a cursor") from error
    digits = raw.removeprefix(_PREFIX)
    if not raw.startswith(_PREFIX) or not digits.isdigit() or len(digits) > 19:
        raise ValueError("not a cursor")
    last_id = int(digits)
    # base64 skips what it does not know, and has several ways to write its last bits.
    if last_id > _MAX_ID or encode_cursor(last_id) != cursor:
        raise ValueError("not a cursor")
    return last_id
