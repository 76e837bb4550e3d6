"""Alembic's entry: one connection, handed over by models.migrate."""

from alembic import context

from models import Base

SCHEMAS = {table.schema for table in Base.metadata.tables.values()}


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    return name in SCHEMAS if type_ == "schema" else True


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
