"""People, machines' keys and tokens: who they are, and when they count no more."""

import functools
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from app.adapters.passwords import hash_password
from app.domain.access import Role
from app.errors import Conflict, NotFound, Unauthenticated
from app.services import accounts, api_keys, tokens
from tests.services.world import World, at_once, outcomes_at_once

PASSWORD = "correct horse battery"


@functools.cache
def password_hash() -> str:
    """Made once: that it takes long is the point of it."""
    return hash_password(PASSWORD)


def create(world: World, username: str) -> int:
    data = {"username": username, "password": PASSWORD, "role": Role.VIEWER, "is_active": True}
    data = accounts.with_password_hash(data)
    with world.deps.unit_of_work() as work:
        return accounts.create_user(work.session, data).id


def add(world: World, username: str, role: Role, *, is_active: bool = True) -> int:
    """A user of this state, however one gets there."""
    return int(
        world.one(
            "INSERT INTO pggit.users (username, password_hash, role, is_active)"
            " VALUES (:username, :hash, :role, :is_active) RETURNING id",
            username=username,
            hash=password_hash(),
            role=role,
            is_active=is_active,
        )
    )


def change(world: World, user_id: int, **changes: Any) -> None:
    changes = accounts.with_password_hash(changes)
    with world.deps.unit_of_work() as work:
        accounts.change_user(work.session, work.now, user_id, changes)


def delete(world: World, user_id: int) -> None:
    with world.deps.unit_of_work() as work:
        accounts.delete_user(work.session, user_id)


def sign_in(world: World, username: str, password: str) -> int:
    with world.deps.reading() as session:
        claimed = accounts.who_claims(session, username)
    return accounts.require_password(claimed, password).id


class TestUsers:
    def test_a_password_is_kept_as_an_argon2id_hash(self, world: World) -> None:
        create(world, "ada")
        kept = world.one("SELECT password_hash FROM pggit.users")
        assert kept.startswith("$argon2id$")
        assert PASSWORD not in kept

    def test_the_right_password_signs_in_however_the_name_is_written(self, world: World) -> None:
        user = create(world, "Ada")
        assert sign_in(world, "ada", PASSWORD) == user
        assert sign_in(world, "ADA", PASSWORD) == user

    @pytest.mark.parametrize(
        ("username", "password"),
        [("ada", "wrong"), ("ada", ""), ("nobody", PASSWORD), ("gone", PASSWORD)],
    )
    def test_nobody_else_does_and_why_is_not_told(
        self, world: World, username: str, password: str
    ) -> None:
        add(world, "ada", Role.VIEWER)
        add(world, "gone", Role.VIEWER, is_active=False)
        with pytest.raises(Unauthenticated) as refusal:
            sign_in(world, username, password)
        assert refusal.value.detail == "The username or the password is wrong."

    def test_a_name_is_taken_once(self, world: World) -> None:
        create(world, "ada")
        with pytest.raises(Conflict):
            create(world, "ADA")

    def test_of_many_who_take_a_name_at_once_one_gets_it(self, world: World) -> None:
        outcomes = outcomes_at_once(*[partial(create, world, "ada")] * 3)
        assert sum(isinstance(one, Conflict) for one in outcomes) == 2
        assert world.one("SELECT count(*) FROM pggit.users") == 1

    def test_the_first_admin_is_made_once_and_keeps_a_changed_password(self, world: World) -> None:
        def ensure(password: str) -> None:
            with world.deps.unit_of_work() as work:
                accounts.ensure_admin(work.session, "Admin", password)

        at_once(*[partial(ensure, PASSWORD)] * 2)
        admin = world.one("SELECT id FROM pggit.users")
        change(world, admin, password="a better password")
        ensure(PASSWORD)
        assert sign_in(world, "admin", "a better password") == admin


class TestLastAdmin:
    """There is always an admin who can sign in."""

    @pytest.mark.parametrize(
        "changes", [{"role": Role.OPERATOR}, {"role": Role.VIEWER}, {"is_active": False}]
    )
    def test_it_stays_what_it_is(self, world: World, changes: dict[str, Any]) -> None:
        admin = add(world, "ada", Role.ADMIN)
        add(world, "retired", Role.ADMIN, is_active=False)
        add(world, "operator", Role.OPERATOR)
        with pytest.raises(Conflict):
            change(world, admin, **changes)
        assert world.one("SELECT role, is_active FROM pggit.users WHERE id = :id", id=admin) == (
            "admin",
            True,
        )

    def test_it_can_not_be_deleted(self, world: World) -> None:
        admin = add(world, "ada", Role.ADMIN)
        with pytest.raises(Conflict):
            delete(world, admin)
        assert world.one("SELECT id FROM pggit.users") == admin

    def test_other_changes_are_free(self, world: World) -> None:
        admin = add(world, "ada", Role.ADMIN)
        before = world.one("SELECT password_hash FROM pggit.users")
        change(world, admin, password="a better password", role=Role.ADMIN, is_active=True)
        assert world.one("SELECT password_hash FROM pggit.users") != before

    def test_with_another_it_may_go(self, world: World) -> None:
        first, second = add(world, "ada", Role.ADMIN), add(world, "bob", Role.ADMIN)
        change(world, first, role=Role.VIEWER)
        with pytest.raises(Conflict):
            delete(world, second)
        change(world, first, role=Role.ADMIN)
        delete(world, second)

    @pytest.mark.parametrize("how", ["demote", "deactivate", "delete", "mixed"])
    def test_of_two_who_each_remove_one_of_two_one_wins(self, world: World, how: str) -> None:
        ways = {
            "demote": [partial(change, world, role=Role.VIEWER)] * 2,
            "deactivate": [partial(change, world, is_active=False)] * 2,
            "delete": [partial(delete, world)] * 2,
            "mixed": [partial(delete, world), partial(change, world, role=Role.VIEWER)],
        }
        one_way, other_way = ways[how]
        for _round in range(8):
            world.sql("DELETE FROM pggit.users")
            first, second = (add(world, name, Role.ADMIN) for name in ("ada", "bob"))
            outcomes = outcomes_at_once(
                lambda: one_way(user_id=first),  # noqa: B023 - done with within the round
                lambda: other_way(user_id=second),  # noqa: B023
            )
            assert sum(isinstance(one, Conflict) for one in outcomes) == 1
            assert sum(one is None for one in outcomes) == 1
            assert (
                world.one("SELECT count(*) FROM pggit.users WHERE role = 'admin' AND is_active")
                == 1
            )


class TestTokens:
    def principal(self, world: World, user_id: int, jti: str = "t", sid: str = "s") -> Any:
        with world.deps.unit_of_work() as work:
            return tokens.principal_of(work.session, user_id, jti, sid, None)

    def revoke(self, world: World, what: str) -> bool:
        with world.deps.unit_of_work() as work:
            return tokens.revoke(work.session, what, work.now + timedelta(hours=1))

    def test_a_token_speaks_with_the_role_as_it_is_now(self, world: World) -> None:
        add(world, "root", Role.ADMIN)
        user = add(world, "ada", Role.ADMIN)
        assert self.principal(world, user).role is Role.ADMIN
        change(world, user, role=Role.VIEWER)
        assert self.principal(world, user).role is Role.VIEWER

    def test_a_user_who_is_inactive_or_gone_has_no_token(self, world: World) -> None:
        user = add(world, "ada", Role.VIEWER)
        change_me = add(world, "bob", Role.VIEWER)
        add(world, "root", Role.ADMIN)
        change(world, change_me, is_active=False)
        delete(world, user)
        assert self.principal(world, user) is None
        assert self.principal(world, change_me) is None

    def test_revoked_it_counts_no_more_and_others_still_do(self, world: World) -> None:
        user = add(world, "ada", Role.VIEWER)
        assert self.revoke(world, "one token")
        assert self.principal(world, user, "one token") is None
        assert self.principal(world, user, "another token") is not None

    def test_a_login_is_revoked_with_all_its_tokens(self, world: World) -> None:
        user = add(world, "ada", Role.VIEWER)
        self.revoke(world, "one session")
        assert self.principal(world, user, "t", "one session") is None
        assert self.principal(world, user, "t", "another session") is not None

    def test_of_two_who_spend_a_token_at_once_one_was_first(self, world: World) -> None:
        assert sorted(at_once(*[partial(self.revoke, world, "it")] * 4)) == [
            False,
            False,
            False,
            True,
        ]


class TestApiKeys:
    def make(self, world: World, **fields: Any) -> tuple[int, str]:
        with world.deps.unit_of_work() as work:
            row, key = api_keys.create_api_key(
                work.session, None, {"name": "ci", "role": "operator"} | fields
            )
            return row.id, key

    def find(self, world: World, key: str) -> Any:
        with world.deps.unit_of_work() as work:
            return api_keys.find_api_key(work.session, work.now, key)

    def test_the_key_itself_is_nowhere(self, world: World) -> None:
        _id, key = self.make(world)
        assert key.startswith("tsk_")
        assert len(key) > 40
        with world.deps.reading() as session:
            row = session.execute(text("SELECT * FROM pggit.api_keys")).one()
        assert key.encode() not in b" ".join(str(value).encode() for value in row)
        assert row.prefix == key[:12]

    def test_it_is_found_by_itself_only(self, world: World) -> None:
        made, key = self.make(world)
        assert self.find(world, key).id == made
        assert self.find(world, key[:-1]) is None
        assert self.find(world, key + "x") is None
        assert self.find(world, "") is None

    def test_expired_or_deleted_it_counts_no_more(self, world: World) -> None:
        with world.deps.unit_of_work() as work:
            now = work.now
        _id, old = self.make(world, expires_at=now - timedelta(seconds=1))
        deleted, key = self.make(world, expires_at=now + timedelta(hours=1))
        assert self.find(world, old) is None
        assert self.find(world, key) is not None
        with world.deps.unit_of_work() as work:
            api_keys.delete_api_key(work.session, deleted)
        assert self.find(world, key) is None
        with pytest.raises(NotFound), world.deps.unit_of_work() as work:
            api_keys.delete_api_key(work.session, deleted)

    def test_its_use_is_noted_once_a_minute(self, world: World) -> None:
        _id, key = self.make(world)
        self.find(world, key)
        first = world.one("SELECT last_used_at FROM pggit.api_keys")
        self.find(world, key)
        assert world.one("SELECT last_used_at FROM pggit.api_keys") == first
        world.sql("UPDATE pggit.api_keys SET last_used_at = now() - interval '61 seconds'")
        self.find(world, key)
        assert world.one("SELECT last_used_at > now() - interval '30 seconds' FROM pggit.api_keys")
