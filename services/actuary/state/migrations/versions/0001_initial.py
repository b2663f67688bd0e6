"""Campaigns, Jobs with their reports, leases and the purse."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "campaigns",
        _text("name"),
        sa.Column("spec", sa.JSON, nullable=False),
        _text("spec_digest"),
        _text("request_id"),
        _text("state"),
        _text("stage"),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("control", sa.JSON, nullable=False),
        sa.Column("results", sa.JSON, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("update_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_campaigns"),
    )
    op.create_index("ix_campaigns_create_time_name", "campaigns", ["create_time", "name"])
    op.create_index("ix_campaigns_state", "campaigns", ["state"])

    op.create_table(
        "jobs",
        _text("name"),
        _text("kind"),
        _text("campaign"),
        sa.Column("spec", sa.JSON, nullable=False),
        _text("spec_digest"),
        _text("request_id"),
        _text("state"),
        sa.Column("error", sa.JSON),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("cost_micros", sa.BigInteger, nullable=False),
        sa.Column("cap_micros", sa.BigInteger),
        _text("artifact"),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("start_time", _TIME),
        sa.Column("end_time", _TIME),
        sa.PrimaryKeyConstraint("name", name="pk_jobs"),
    )
    op.create_index("ix_jobs_campaign_kind_create_time", "jobs", ["campaign", "kind", "create_time"])
    op.create_index("ix_jobs_kind_state", "jobs", ["kind", "state"])

    op.create_table(
        "job_reports",
        _text("job"),
        sa.Column("index", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("spent_micros", sa.BigInteger, nullable=False),
        sa.Column("grant_micros", sa.BigInteger, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("update_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("job", "index", name="pk_job_reports"),
    )

    op.create_table(
        "leases",
        _text("name"),
        _text("holder"),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("end_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )

    op.create_table(
        "purse_accounts",
        _text("campaign"),
        _text("account"),
        sa.Column("limit", sa.BigInteger),
        sa.Column("reserved", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("campaign", "account", name="pk_purse_accounts"),
    )
    op.create_table(
        "purse_entries",
        sa.Column("sequence", _SEQUENCE, nullable=False, autoincrement=True),
        _text("campaign"),
        _text("kind"),
        _text("key"),
        sa.Column("amounts", sa.JSON, nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_purse_entries"),
        sa.UniqueConstraint("campaign", "kind", "key", name="uq_purse_entries_campaign_kind_key"),
    )
