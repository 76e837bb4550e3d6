"""What a statement writes to, read from its text."""

import re
from pathlib import Path

import pytest

from app.adapters.written import UNSEEN, tables_written
from models import Base

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT * FROM pggit.alerts", set()),
        ("SELECT * FROM pggit.alerts FOR UPDATE", set()),
        ("SELECT FROM pggit.alerts a FOR NO KEY UPDATE OF a SKIP LOCKED", set()),
        ("INSERT INTO pggit.alerts (title) VALUES ('x')", {"pggit.alerts"}),
        ("insert into\n  pggit.alerts select 1", {"pggit.alerts"}),
        (
            "INSERT INTO pggit.alerts AS a (id) VALUES (1) ON CONFLICT DO UPDATE SET id = 2",
            {"pggit.alerts"},
        ),
        (b"UPDATE pggit.jobs j SET x = 1", {"pggit.jobs"}),
        ('UPDATE ONLY "pggit"."jobs" SET x = 1', {"pggit.jobs"}),
        ("DELETE FROM pggit_ml.predictions", {"pggit_ml.predictions"}),
        ("MERGE INTO pggit.jobs USING x ON true", {"pggit.jobs"}),
        (
            "COPY pggit_analytics.metric_samples (at) FROM STDIN (FORMAT binary)",
            {"pggit_analytics.metric_samples"},
        ),
        (
            "WITH a AS (DELETE FROM pggit.jobs RETURNING 1) INSERT INTO pggit.audit SELECT 1",
            {"pggit.jobs", "pggit.audit"},
        ),
        (
            "DROP TABLE IF EXISTS pggit_analytics.metric_rollups_60_20260102",
            {"pggit_analytics.metric_rollups"},
        ),
        ("UPDATE /* unseen */ pggit.jobs SET x = 1", set()),
    ],
)
def test_the_tables_of_a_statement(statement: str | bytes, tables: set[str]) -> None:
    assert tables_written(statement) == tables


def test_a_deletion_goes_on_where_foreign_keys_say_so() -> None:
    tables = tables_written("DELETE FROM pggit.alerts WHERE id = 1")
    assert {"pggit.alerts", "pggit.alert_events", "pggit.alert_group_news"} <= tables
    assert "pggit.webhooks" not in tables
    # By SET NULL too: the row stays and shows something else.
    assert "pggit_analytics.anomalies" in tables


def test_every_table_that_our_statements_name_is_one() -> None:
    """A statement without the schema would be overlooked, and so would be a table renamed."""
    known = set(Base.metadata.tables)
    verbs = r"(?:INSERT INTO|DELETE FROM|UPDATE|MERGE INTO|COPY)"
    for path in [*ROOT.glob("app/**/*.py"), *ROOT.glob("tasks/*.py")]:
        text = path.read_text().replace(UNSEEN, "")
        assert tables_written(text) <= known, f"{path} writes to what is no table of ours"
        bare = re.findall(rf"{verbs}\s+([a-z_]+)\s+(?:SET|VALUES|\(|WHERE|USING)", text)
        assert not set(bare) - {"of"}, f"{path} names tables without their schema"
