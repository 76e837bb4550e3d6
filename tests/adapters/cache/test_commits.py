"""Every commit that wrote to a watched table is heard of, with its transaction, and no other."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.adapters.database import Database, driver_of, pipeline
from app.adapters.written import Written
from tests.adapters.cache.process import A


class Listening(Database):
    """A database, and what was heard of its commits."""

    def __init__(self, url: str) -> None:
        self.heard: list[Written] = []
        super().__init__(url, pool_min=1, pool_max=2, watched=(A,), on_written=self.heard.append)


@pytest.fixture
def database(cache_database_url: str) -> Iterator[Listening]:
    listening = Listening(cache_database_url)
    yield listening
    listening.close()


UPDATE = "UPDATE public.cached_a SET number = number WHERE id = 1"


def test_the_transaction_is_the_one_that_wrote(database: Listening) -> None:
    with database.session() as session:
        session.execute(text(UPDATE))
        xid = session.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()
        assert database.heard == []
    assert database.heard == [Written(frozenset({A}), xid)]


def test_a_reader_s_view_tells_before_from_after(database: Listening) -> None:
    with database.view() as before, database.session() as session:
        session.execute(text(UPDATE))
    with database.view() as after:
        pass
    xid = database.heard[0].xid
    assert xid is not None
    assert not before.snapshot.sees(xid)
    assert after.snapshot.sees(xid)


def test_a_view_sees_one_state_to_its_end(database: Listening) -> None:
    question = text("SELECT number FROM public.cached_a WHERE id = 3")
    with database.view() as view:
        first = view.session.execute(question).scalar_one()
        with database.session() as session:
            session.execute(text("UPDATE public.cached_a SET number = number + 1 WHERE id = 3"))
        assert view.session.execute(question).scalar_one() == first


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT * FROM public.cached_a FOR UPDATE",
        "UPDATE public.cached_b SET number = number",
        "UPDATE public.cached_a SET number = number WHERE false",
        f"/* unseen */ {UPDATE}",
    ],
)
def test_who_changes_nothing_of_it_is_not_heard(database: Listening, statement: str) -> None:
    with database.session() as session:
        session.execute(text(statement))
    assert database.heard == []


def test_what_is_rolled_back_is_not_heard_either(database: Listening) -> None:
    def fail() -> None:
        with database.session() as session:
            session.execute(text(UPDATE))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.session() as session:
        session.execute(text("SELECT 1"))
    assert database.heard == []


def test_nor_what_the_server_rolls_back_at_the_commit(database: Listening) -> None:
    """Said too often, never too seldom: the statement failed, and nobody looked."""
    with database.session() as session:
        session.execute(text(UPDATE))
        with pytest.raises(psycopg.Error):
            driver_of(session).execute("SELECT 1 / 0")
    assert database.heard == []


@pytest.mark.parametrize("way", ["driver", "pipeline", "many", "copy", "binary"])
def test_every_way_to_the_server_is_watched(database: Listening, way: str) -> None:
    with database.session() as session:
        driver = driver_of(session)
        match way:
            case "driver":
                driver.execute(UPDATE.encode())
            case "pipeline":
                with pipeline(session) as sending:
                    sending.execute(UPDATE)
            case "many":
                with driver.cursor() as cursor:
                    cursor.executemany(
                        "UPDATE public.cached_a SET number = %s WHERE id = 1", [(0,), (0,)]
                    )
            case "copy":
                driver.execute("DELETE FROM public.cached_a WHERE id = 9")
                driver.commit()
                database.heard.clear()
                with (
                    driver.cursor() as cursor,
                    cursor.copy("COPY public.cached_a FROM STDIN") as copy,
                ):
                    copy.write_row((9, 0))
            case "binary":
                with driver.cursor(binary=True) as cursor:
                    cursor.execute(UPDATE)
    assert [one.tables for one in database.heard] == [{A}]


def test_a_commit_that_nobody_knows_the_end_of_is_said_to_be_one(database: Listening) -> None:
    def lose() -> None:
        with database.session() as session:
            session.execute(text(UPDATE))
            pid = driver_of(session).info.backend_pid
            with database.session() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with pytest.raises(DBAPIError):
        lose()
    assert database.heard == [Written(frozenset({A}), None)]
    with database.session() as session:
        session.execute(text(UPDATE))
    assert database.heard[-1].xid is not None


def test_an_error_at_the_commit_is_raised(database: Listening) -> None:
    """A constraint that is looked at only then."""
    with database.session() as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS public.late (id int UNIQUE DEFERRABLE)"))
    watching = Database(
        database.engine.url.render_as_string(hide_password=False),
        pool_min=1,
        pool_max=1,
        watched=("public.late",),
        on_written=database.heard.append,
    )

    def insert_twice() -> None:
        with watching.session() as session:
            session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
            session.execute(text("INSERT INTO public.late VALUES (1), (1)"))

    with pytest.raises(DBAPIError):
        insert_twice()
    assert database.heard == []
    with watching.session() as session:
        assert session.execute(text("SELECT count(*) FROM public.late")).scalar_one() == 0
    watching.close()
