"""A campaign and its purse as one read: what GetCampaign and every watcher ask for, many times a second.

One transaction, so that state and money belong together, and statements that are built once.
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
        self._campaign = sa.select(tables.campaigns).where(tables.campaigns.c.name == name)
        self._version = sa.select(tables.campaigns.c.version).where(tables.campaigns.c.name == name)
        self._kept: dict[str, campaigns.CampaignRecord] = {}
        self._accounts = (
            sa.select(tables.purse_accounts)
            .where(tables.purse_accounts.c.campaign == name)
            .order_by(tables.purse_accounts.c.account)
        )

    def get(self, name: str) -> Overview:
        """Reads one.

        Raises:
            NotFoundError: No such campaign.
        """
        with self._db.read() as connection:
            # most reads find what the last one found: decoding the row again costs more than asking for its
            # version
            version = connection.execute(self._version, {"name": name}).scalar_one_or_none()
            if version is None:
                raise errors.NotFoundError(f"no campaign {name}", metadata={"name": name})
            record = self._kept.get(name)
            if record is None or record.version != version:
                row = connection.execute(self._campaign, {"name": name}).mappings().one()
                record = self._keep(campaigns.CampaignRecord(**row))
            accounts = connection.execute(self._accounts, {"name": name}).all()
        return Overview(
            record=record,
            balance={
                account.account: purse.Balance(
                    limit=account.limit, reserved=account.reserved, settled=account.settled
                )
                for account in accounts
            },
        )

    def _keep(self, record: campaigns.CampaignRecord) -> campaigns.CampaignRecord:
        if len(self._kept) >= _KEPT:
            self._kept.clear()  # rare enough that an order of use would cost more than it saves
        self._kept[record.name] = record
        return record
