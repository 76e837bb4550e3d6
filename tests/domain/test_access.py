"""Who may: every role against every need."""

import pytest

from app.domain.access import Principal, Role, may

VIEWER, OPERATOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN


@pytest.mark.parametrize(
    ("role", "needed", "is_allowed"),
    [
        (VIEWER, VIEWER, True),
        (VIEWER, OPERATOR, False),
        (VIEWER, ADMIN, False),
        (OPERATOR, VIEWER, True),
        (OPERATOR, OPERATOR, True),
        (OPERATOR, ADMIN, False),
        (ADMIN, VIEWER, True),
        (ADMIN, OPERATOR, True),
        (ADMIN, ADMIN, True),
    ],
)
def test_a_role_may_what_it_and_the_lesser_ones_may(
    role: Role, needed: Role, is_allowed: bool
) -> None:
    assert may(role, needed) is is_allowed


def test_a_user_and_a_key_of_the_same_id_are_two() -> None:
    user = Principal("user", 1, "ada", ADMIN)
    machine = Principal("api-key", 1, "ci", ADMIN)
    assert user.key == "user:1"
    assert user.key != machine.key


def test_a_principal_keeps_its_key_when_it_is_renamed_or_promoted() -> None:
    assert (
        Principal("user", 1, "ada", VIEWER).key
        == Principal("user", 1, "lovelace", ADMIN, "s", "t").key
    )
