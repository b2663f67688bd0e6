"""Nothing in the database: manifests have format 2 since, which code before this revision cannot read."""

revision = "0004_from_0004"
down_revision = "0003"


def upgrade() -> None:
    pass
