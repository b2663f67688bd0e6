"""The SQL tables, in one place: what the migrations must arrive at, compared with them by a test.

Columns are portable between SQLite and PostgreSQL: JSON for values that no query looks into, 64-bit
integers for money and counts, UTC times. Rows name one another by resource name and carry no foreign keys
across services, because each service may one day have a database of its own.
"""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa


class UtcDateTime(sa.types.TypeDecorator[datetime.datetime]):
    """A time with its zone: SQLite stores none, so it is UTC on the way in and on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: sa.Dialect
    ) -> datetime.datetime | None:
        """Refuses times without a zone: they are a bug of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with its zone, got {value!r}")
        value = value.astimezone(datetime.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self, value: datetime.datetime | None, dialect: sa.Dialect
    ) -> datetime.datetime | None:
        """Gives the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

_Big = sa.BigInteger
_Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER counts by itself in SQLite


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=options.pop("nullable", False), **options)


campaigns = sa.Table(
    "campaigns",
    metadata,
    _text("name", primary_key=True),
    sa.Column("spec", sa.JSON, nullable=False),
    _text("spec_digest"),
    _text("request_id"),
    _text("state"),
    _text("stage"),
    sa.Column("wave", sa.Integer, nullable=False),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("control", sa.JSON, nullable=False),
    sa.Column("results", sa.JSON, nullable=False),
    sa.Column("version", _Big, nullable=False),
    sa.Column("create_time", UtcDateTime, nullable=False),
    sa.Column("update_time", UtcDateTime, nullable=False),
    sa.Index(None, "create_time", "name"),
    sa.Index(None, "state"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    _text("name", primary_key=True),
    _text("kind"),
    _text("campaign"),
    sa.Column("spec", sa.JSON, nullable=False),
    _text("spec_digest"),
    _text("request_id"),
    _text("state"),
    sa.Column("error", sa.JSON(none_as_null=True)),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("cost_micros", _Big, nullable=False),
    sa.Column("cap_micros", _Big),  # null: no cap
    _text("artifact"),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("version", _Big, nullable=False),
    sa.Column("create_time", UtcDateTime, nullable=False),
    sa.Column("start_time", UtcDateTime),
    sa.Column("end_time", UtcDateTime),
    sa.Index(None, "campaign", "kind", "create_time"),
    sa.Index(None, "kind", "state"),
)

job_reports = sa.Table(
    "job_reports",
    metadata,
    _text("job", primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("spent_micros", _Big, nullable=False),
    sa.Column("grant_micros", _Big, nullable=False),  # cumulative; what the index was told that it may spend
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("update_time", UtcDateTime, nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    _text("name", primary_key=True),
    _text("holder"),
    sa.Column("token", _Big, nullable=False),
    sa.Column("end_time", UtcDateTime, nullable=False),
)

purse_accounts = sa.Table(
    "purse_accounts",
    metadata,
    _text("campaign", primary_key=True),
    _text("account", primary_key=True),
    sa.Column("limit", _Big),  # null: no limit
    sa.Column("reserved", _Big, nullable=False),
    sa.Column("settled", _Big, nullable=False),
)

purse_entries = sa.Table(
    "purse_entries",
    metadata,
    sa.Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    _text("campaign"),
    _text("kind"),  # open, reserve, settle, raise
    _text("key"),
    sa.Column("amounts", sa.JSON, nullable=False),
    sa.Column("create_time", UtcDateTime, nullable=False),
    sa.UniqueConstraint("campaign", "kind", "key"),
)

review_batches = sa.Table(
    "review_batches",
    metadata,
    _text("name", primary_key=True),
    _text("campaign"),
    sa.Column("spec", sa.JSON, nullable=False),
    _text("spec_digest"),
    _text("request_id"),
    _text("state"),
    _text("stop"),  # close or cancel, when somebody asked for it; empty otherwise
    sa.Column("error", sa.JSON(none_as_null=True)),
    _text("artifact"),
    sa.Column("label_cap", _Big, nullable=False),
    sa.Column("item_count", _Big, nullable=False),
    sa.Column("next_position", _Big, nullable=False),  # items before it have a row in review_tasks
    sa.Column("label_count", _Big, nullable=False),  # answers that are paid: corrections are not
    sa.Column("answered_count", _Big, nullable=False),  # items with an answer
    sa.Column("sequence", _Big, nullable=False),  # of the last answer
    sa.Column("flushed", _Big, nullable=False),  # sequence of the last answer in a segment
    sa.Column("create_time", UtcDateTime, nullable=False),
    sa.Column("end_time", UtcDateTime),
    sa.Index(None, "campaign", "create_time"),
    sa.Index(None, "state"),
)

review_tasks = sa.Table(
    "review_tasks",
    metadata,
    _text("batch", primary_key=True),
    sa.Column("position", _Big, primary_key=True, autoincrement=False),  # in serving order
    _text("item_id"),
    sa.Column("answers", sa.Integer, nullable=False),  # people who have answered
    sa.Column("missing", sa.Integer, nullable=False),  # further answers that are wanted
    sa.Column("open", sa.Boolean, nullable=False),  # missing > 0, for the index
    sa.Index(None, "batch", "open", "position"),
)

review_holds = sa.Table(
    "review_holds",
    metadata,
    _text("batch", primary_key=True),
    sa.Column("position", _Big, primary_key=True, autoincrement=False),
    _text("reviewer", primary_key=True),
    sa.Column("end_time", UtcDateTime, nullable=False),
)

review_answers = sa.Table(
    "review_answers",
    metadata,
    _text("batch", primary_key=True),
    sa.Column("sequence", _Big, primary_key=True, autoincrement=False),
    sa.Column("position", _Big, nullable=False),
    _text("item_id"),
    _text("reviewer"),
    _text("label", nullable=True),  # null: cannot tell
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("arrived", UtcDateTime, nullable=False),
    sa.Column("supersedes", _Big),  # sequence of the answer that this one corrects
    sa.Column("current", sa.Boolean, nullable=False),  # not corrected since
    sa.Index(None, "batch", "position"),
)

figures = sa.Table(
    "figures",
    metadata,
    _text("name", primary_key=True),
    _text("labels", primary_key=True),  # a list in JSON
    sa.Column("value", sa.Float(53), nullable=False),
)
