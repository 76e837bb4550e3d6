"""Leases whose owner is dead are due at once; of one that lives, or says nothing, they run out."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from app.adapters.ownership import OWNERS, Ownership
from app.services import claims
from app.services.claims import NOBODY, Claim
from app.services.lost_leases import LostLeases
from tests.harness.waiting import eventually
from tests.services.world import World, delivered


@contextmanager
def owning(world: World) -> Iterator[Ownership]:
    owner = Ownership(world.deps.database)
    owner.keep()
    try:
        yield owner
    finally:
        owner.give_up()


def claim_one(world: World, owner: int) -> Claim:
    with world.deps.database.session() as session:
        (claimed,), _moment = claims.claim(session, 1, 0, owner)
    return claimed


def free(world: World, lost: LostLeases) -> int:
    with world.deps.database.session() as session:
        return lost.free(session)


def break_connection(world: World, owner: Ownership) -> None:
    """As a restart of PostgreSQL does, or a network."""
    world.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
        " AND classid = :owners AND objid = :number",
        owners=OWNERS,
        number=owner.number,
    )


def test_what_a_dead_owner_had_is_due_and_what_others_have_is_not(world: World) -> None:
    webhook = world.webhook()
    world.owe(webhook, 3)
    lost = LostLeases(world.deps.clock)
    with owning(world) as living:
        with owning(world) as dying:
            dead = claim_one(world, dying.number)
        kept = claim_one(world, living.number)
        nobodys = claim_one(world, NOBODY)
        eventually(lambda: free(world, lost) == 1, what="the dead owner's lease to be freed")
        assert world.delivery(dead.id).is_due
        assert not world.delivery(kept.id).is_due
        assert not world.delivery(nobodys.id).is_due
        # It goes like one that ran out: taken by the next, who says that a worker was lost.
        (again,) = world.claim()
        assert again.id == dead.id
        assert world.attempts(dead.id) == ["worker_lost"]
        assert world.complete(delivered(dead)) == set()


def test_an_owner_whose_connection_broke_has_time_to_take_his_lock_again(world: World) -> None:
    webhook = world.webhook()
    world.owe(webhook, 2)
    lost = LostLeases(world.deps.clock)
    with owning(world) as shaken:
        with owning(world) as dying:
            dead = claim_one(world, dying.number)
        kept = claim_one(world, shaken.number)
        break_connection(world, shaken)
        assert free(world, lost) == 0
        shaken.keep()
        eventually(lambda: free(world, lost) == 1, what="the dead owner's lease to be freed")
        assert world.delivery(dead.id).is_due
        assert not world.delivery(kept.id).is_due


def test_a_lock_that_a_dying_connection_still_holds_is_taken_later(world: World) -> None:
    """The server may take a while to notice that a client is gone."""
    owner = Ownership(world.deps.database)
    with world.deps.database.engine.connect() as before:
        before.execute(
            text("SELECT pg_advisory_lock(:owners, :number)"),
            {"owners": OWNERS, "number": owner.number},
        )
        owner.keep()
        before.invalidate()
    eventually(lambda: holders(world, owner) == 0, what="the server to notice")
    owner.keep()
    assert holders(world, owner) == 1
    owner.give_up()
    eventually(lambda: holders(world, owner) == 0, what="the lock to go with its connection")


def holders(world: World, owner: Ownership) -> int:
    ((count,),) = world.sql(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :owners"
        " AND objid = :number AND granted",
        owners=OWNERS,
        number=owner.number,
    )
    return int(count)
