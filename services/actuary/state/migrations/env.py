"""Alembic's entry: runs the migrations on the connection that `migrations.configuration` was given."""

from alembic import context

from actuary.state import tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=tables.metadata)
with context.begin_transaction():
    context.run_migrations()
