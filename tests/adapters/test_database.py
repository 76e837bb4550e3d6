"""What counts as a database that is away."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.adapters.database import Database, is_away
from tests.harness.waiting import eventually


def is_there(database: Database, pid: int) -> bool:
    backends = "SELECT count(*) FROM pg_stat_activity WHERE pid = %(pid)s"
    return bool(database.ask(lambda ask: ask(backends, {"pid": pid})[0][0]))


def test_a_transaction_that_the_server_lost_patience_with(database: Database) -> None:
    with Session(database.engine) as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))
        eventually(lambda: not is_there(database, pid), what="its end")
        with pytest.raises(DBAPIError) as ended:
            session.execute(text("SELECT 1"))
    assert is_away(ended.value)


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT nothing", "SELECT 'a'::int"])
def test_what_it_refuses_is_no_sign_of_that(database: Database, statement: str) -> None:
    with Session(database.engine) as session, pytest.raises(DBAPIError) as refused:
        session.execute(text(statement))
    assert not is_away(refused.value)
