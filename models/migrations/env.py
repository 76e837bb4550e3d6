"""Alembic's entry: one connection, handed over by models.migrate."""

import re

from alembic import context

from models import Base

SCHEMAS = {table.schema for table in Base.metadata.tables.values()}
# Made and dropped as time goes on: data of their parents, not tables of the models.
PARTITION = re.compile(r"metric_(samples|rollups)_\d")


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    if type_ == "schema":
        return name in SCHEMAS
    return not (type_ == "table" and name and PARTITION.match(name))


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    include_schemas=True,
    include_name=include_name,
    version_table_schema="public",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
