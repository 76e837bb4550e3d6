"""Questions without a transaction: what they leave behind, also where something goes wrong."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.adapters.asking import Asking
from app.adapters.database import Database

PID = "SELECT pg_backend_pid()"


def pid(ask: Asking) -> int:
    return int(ask(PID)[0][0])


def test_a_question_is_in_no_transaction_and_the_next_session_is(database: Database) -> None:
    two = database.ask(lambda ask: [ask("SELECT now()")[0][0] for _ in range(2)])
    assert two[0] < two[1]
    with database.session() as session:
        times = [session.scalar(text("SELECT now()")) for _ in range(2)]
    assert times[0] == times[1]


def test_an_error_leaves_nothing_behind(database: Database) -> None:
    class Ours(Exception):
        pass

    def fails(ask: Asking) -> None:
        ask(PID)
        raise Ours

    with pytest.raises(Ours):
        database.ask(fails)
    with pytest.raises(OperationalError, match="canceling"):
        database.ask(lambda ask: ask("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)"))
    test_a_question_is_in_no_transaction_and_the_next_session_is(database)


def test_a_connection_that_died_a_moment_ago_is_replaced(database: Database) -> None:
    first = database.ask(pid)
    assert database.ask(pid) == first
    with database.session() as session:
        other = session.scalar(text(PID))
    assert other == first  # there is but one
    killer = Database(
        database.engine.url.render_as_string(hide_password=False), pool_min=1, pool_max=1
    )
    with killer.session() as session:
        assert session.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": first})
    killer.close()
    assert database.ask(pid) != first


def test_parameters_are_the_drivers(database: Database) -> None:
    assert database.ask(lambda ask: ask("SELECT %(a)s::int + 1", {"a": 41})) == [(42,)]
