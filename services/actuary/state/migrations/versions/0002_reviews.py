"""Review batches with their tasks, holds and answers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _count(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "review_batches",
        _text("name"),
        _text("campaign"),
        sa.Column("spec", sa.JSON, nullable=False),
        _text("spec_digest"),
        _text("request_id"),
        _text("state"),
        _text("stop"),
        sa.Column("error", sa.JSON),
        _text("artifact"),
        _count("label_cap"),
        _count("item_count"),
        _count("next_position"),
        _count("label_count"),
        _count("answered_count"),
        _count("sequence"),
        _count("flushed"),
        sa.Column("create_time", _TIME, nullable=False),
        sa.Column("end_time", _TIME),
        sa.PrimaryKeyConstraint("name", name="pk_review_batches"),
    )
    op.create_index("ix_review_batches_campaign_create_time", "review_batches", ["campaign", "create_time"])
    op.create_index("ix_review_batches_state", "review_batches", ["state"])

    op.create_table(
        "review_tasks",
        _text("batch"),
        _count("position"),
        _text("item_id"),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("missing", sa.Integer, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("batch", "position", name="pk_review_tasks"),
    )
    op.create_index("ix_review_tasks_batch_open_position", "review_tasks", ["batch", "open", "position"])

    op.create_table(
        "review_holds",
        _text("batch"),
        _count("position"),
        _text("reviewer"),
        sa.Column("end_time", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("batch", "position", "reviewer", name="pk_review_holds"),
    )

    op.create_table(
        "review_answers",
        _text("batch"),
        _count("sequence"),
        _count("position"),
        _text("item_id"),
        _text("reviewer"),
        _text("label", nullable=True),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("arrived", _TIME, nullable=False),
        _count("supersedes", nullable=True),
        sa.Column("current", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("batch", "sequence", name="pk_review_answers"),
    )
    op.create_index("ix_review_answers_batch_position", "review_answers", ["batch", "position"])
