"""Encryption at rest: the first key writes, every key reads."""

import pytest
from cryptography.fernet import Fernet, InvalidToken
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.cipher import Cipher

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@given(st.text())
def test_what_goes_in_comes_out(plain: str) -> None:
    cipher = Cipher([OLD])
    assert cipher.decrypt(cipher.encrypt(plain)) == plain


def test_nothing_of_it_shows_nor_that_two_are_the_same() -> None:
    cipher = Cipher([OLD])
    first, second = (cipher.encrypt("a secret of some length") for _ in range(2))
    assert first != second
    assert b"a secret" not in first


def test_keys_are_rotated_by_putting_the_new_one_first() -> None:
    written_before = Cipher([OLD]).encrypt("it")
    both = Cipher([NEW, OLD])
    assert both.decrypt(written_before) == "it"
    written_after = both.encrypt("it")
    assert Cipher([NEW]).decrypt(written_after) == "it"
    with pytest.raises(InvalidToken):
        Cipher([OLD]).decrypt(written_after)
    with pytest.raises(InvalidToken):
        Cipher([NEW]).decrypt(written_before)


def test_what_was_changed_is_refused() -> None:
    cipher = Cipher([OLD])
    token = bytearray(cipher.encrypt("it"))
    token[-3] ^= 1
    with pytest.raises(InvalidToken):
        cipher.decrypt(bytes(token))


def test_there_must_be_a_key() -> None:
    with pytest.raises(ValueError):
        Cipher([])
