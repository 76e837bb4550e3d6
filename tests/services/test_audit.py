"""Who acts, where nobody asks by the API, and how long it is kept."""

import contextvars

from app.domain.audit import Actor
from app.services import audit
from app.services.paging import PageRequest
from app.services.retention import purge as purge_all
from models import AuditEntry
from tests.services.world import World


def entries(world: World) -> list[AuditEntry]:
    with world.deps.reading() as session:
        return audit.list_entries(session, {}, PageRequest(100)).items


def test_where_nobody_acts_it_is_the_system_itself(world: World) -> None:
    world.webhook()
    (entry,) = entries(world)
    assert (entry.actor_kind, entry.actor_name, entry.address) == ("system", "tocsin", None)


def test_who_acts_is_known_in_his_own_context_only(world: World) -> None:
    def as_ada() -> None:
        audit.act_as(Actor("user", 7, "ada", "192.0.2.7"))
        world.webhook()

    contextvars.copy_context().run(as_ada)
    world.webhook()
    last, first = entries(world)
    assert (first.actor_id, first.actor_name, first.address) == (7, "ada", "192.0.2.7")
    assert last.actor_kind == "system"


def test_what_is_undone_leaves_nothing(world: World) -> None:
    class Undone(Exception):
        pass

    try:
        with world.deps.unit_of_work() as work:
            work.session.connection().exec_driver_sql(
                "INSERT INTO pggit.users (username, password_hash, role) VALUES ('x', '', 'viewer')"
            )
            raise Undone
    except Undone:
        pass
    assert entries(world) == []


def test_it_is_kept_for_400_days(world: World) -> None:
    for age in ("399 days 23 hours", "400 days 1 hour"):
        world.sql(
            "INSERT INTO pggit.audit_log (at, actor_kind, actor_name, action, resource)"
            " VALUES (now() - CAST(:age AS interval), 'system', 'tocsin', 'insert', 'webhook')",
            age=age,
        )
    assert purge_all(world.deps.unit_of_work)["audit"] == 1
    assert len(entries(world)) == 1
