"""A campaign and its purse as one read: what GetCampaign and every watcher ask for, many times a second.

One statement for both, so that state and money belong together; it is built once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import sqlalchemy as sa

from actuary import errors
from actuary.state import campaigns, database, purse, tables

_KEPT = 1024
"""Rows kept at most; some kilobytes each."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A campaign with its two accounts."""

    record: campaigns.CampaignRecord
    balance: Mapping[str, purse.Balance]
    """By account; empty before the purse is opened."""


class Overviews:
    """Reads them."""

    def __init__(self, db: database.Database) -> None:
        self._db = db
        name: sa.BindParameter[str] = sa.bindparam("name")
        row, accounts = tables.campaigns, tables.purse_accounts
        self._campaign = sa.select(row).where(row.c.name == name)
        self._known = (
            sa.select(
                row.c.version, accounts.c.account, accounts.c.limit, accounts.c.reserved, accounts.c.settled
            )
            .select_from(row.outerjoin(accounts, accounts.c.campaign == row.c.name))
            .where(row.c.name == name)
            .order_by(accounts.c.account)
        )
        self._kept: dict[str, campaigns.CampaignRecord] = {}

    def get(self, name: str) -> Overview:
        """Reads one.

        Raises:
            NotFoundError: No such campaign.
        """
        # most reads find what the last one found: decoding a row costs more than asking for its version
        record = self._kept.get(name)
        known = self._db.rows(self._known, {"name": name})
        if not known:
            raise errors.NotFoundError(f"no campaign {name}", metadata={"name": name})
        if record is None or record.version != known[0].version:
            with self._db.read() as connection:  # both of one moment
                row = connection.execute(self._campaign, {"name": name}).mappings().one()
                known = list(connection.execute(self._known, {"name": name}))
            record = self._keep(campaigns.CampaignRecord(**row))
        return Overview(
            record=record,
            balance={
                account: purse.Balance(limit=limit, reserved=reserved, settled=settled)
                for _, account, limit, reserved, settled in known
                if account is not None
            },
        )

    def _keep(self, record: campaigns.CampaignRecord) -> campaigns.CampaignRecord:
        if len(self._kept) >= _KEPT:
            self._kept.clear()  # rare enough that an order of use would cost more than it saves
        self._kept[record.name] = record
        return record
