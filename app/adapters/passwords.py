"""Passwords, hashed by argon2id with the parameters of RFC 9106's low-memory profile."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def hash_password(password: str) -> str:
    return _hasher.hash(password)


@cache
def _nobodys_hash() -> str:
    """Verified when there is no such user: an unknown name takes as long as a wrong password."""
    return _hasher.hash("nobody has this password")


def password_matches(password_hash: str | None, password: str) -> bool:
    """False for a wrong password and, after the same work, for None: no such user."""
    try:
        matches = _hasher.verify(password_hash or _nobodys_hash(), password)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return matches and password_hash is not None
