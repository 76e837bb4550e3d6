"""Encryption at rest, by MultiFernet: the first key encrypts, any of them decrypts."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, MultiFernet


class Cipher:
    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, plain: str) -> bytes:
        return self._fernet.encrypt(plain.encode())

    def decrypt(self, token: bytes) -> str:
        """Raises cryptography.fernet.InvalidToken when no key fits."""
        return self._fernet.decrypt(token).decode()
