"""The purse of a campaign: two accounts that are never passed, whoever asks at once and whatever dies.

An account has a limit, what is reserved and what is settled; limit >= reserved + settled holds after every
transaction. Creating a Job or a review batch reserves its cap under a key; settling the key books what was
used and frees the rest. Every call is one transaction and idempotent by its key, and every change leaves an
entry, so that the balance can be added up again.

Only the campaign service writes here. Prices are not known here.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from actuary import errors, failpoints
from actuary.state import clock as clocks
from actuary.state import database, figures, tables

ACCOUNTS = ("human_labels", "money_micros")
"""Labels by people (a count) and money (micro-dollars)."""

LARGEST_AMOUNT = 2**62
"""Amounts are 64-bit integers in the database; half of the range leaves room for sums."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One account."""

    limit: int | None
    """None: without limit."""
    reserved: int
    settled: int

    @property
    def free(self) -> int | None:
        """What can still be reserved; None without limit."""
        return None if self.limit is None else self.limit - self.reserved - self.settled


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change."""

    sequence: int
    kind: str
    """`open`, `reserve`, `settle` or `raise`."""
    key: str
    amounts: dict[str, int | None]
    create_time: datetime.datetime


class Purse:
    """The purses of all campaigns of a database."""

    def __init__(self, db: database.Database, clock: clocks.Clock = clocks.utc_now) -> None:
        self._db = db
        self._clock = clock

    def open(self, campaign: str, limits: Mapping[str, int | None]) -> None:
        """Opens the accounts of a campaign; an account that is not named has no limit.

        Raises:
            AlreadyExistsError: It was opened before with other limits.
        """
        wanted = {account: limits.get(account) for account in ACCOUNTS}
        _check({**limits, **wanted})

        def body(connection: sa.Connection) -> None:
            if not self._enter(connection, campaign, "open", "", wanted):
                return
            rows = [
                {"campaign": campaign, "account": account, "limit": limit, "reserved": 0, "settled": 0}
                for account, limit in wanted.items()
            ]
            connection.execute(sa.insert(tables.purse_accounts), rows)

        with failpoints.around("purse.open"):
            self._db.write(body)

    def reserve(self, campaign: str, key: str, amounts: Mapping[str, int]) -> None:
        """Reserves amounts of one or both accounts: all or nothing.

        Raises:
            BudgetExceededError: An account would be passed; the message names it with its figures.
            AlreadyExistsError: The key has reserved other amounts.
            NotFoundError: The campaign has no purse.
        """
        _check(amounts)

        def body(connection: sa.Connection) -> None:
            balances = _lock(connection, campaign)
            if not self._enter(connection, campaign, "reserve", key, amounts):
                return
            for account, asked in amounts.items():
                balance = balances[account]
                if balance.limit is not None and balance.reserved + balance.settled + asked > balance.limit:
                    raise _exceeded(campaign, account, balance, asked, key)
                _write(connection, campaign, account, reserved=balance.reserved + asked)

        with failpoints.around("purse.reserve"):
            self._db.write(body)

    def settle(
        self,
        campaign: str,
        key: str,
        used: Mapping[str, int],
        counted: figures.Changes | None = None,
    ) -> None:
        """Books what was used of a reservation and frees the rest; accounts that are not named used nothing.

        What was `counted` is added to its totals in the same transaction.

        Raises:
            BudgetExceededError: More was used than reserved.
            AlreadyExistsError: The key was settled with other amounts.
            NotFoundError: The key has reserved nothing.
        """
        _check(used)

        def body(connection: sa.Connection) -> None:
            balances = _lock(connection, campaign)
            reserved = _amounts(connection, campaign, "reserve", key)
            if reserved is None:
                raise errors.NotFoundError(
                    f"{campaign}: nothing is reserved under {key!r}", metadata={"key": key}
                )
            for account, amount in used.items():
                most = reserved.get(account) or 0
                if amount > most:
                    raise errors.BudgetExceededError(
                        f"{campaign}: {key!r} reserved {most} {account} and used {amount}",
                        metadata={"campaign": campaign, "account": account, "key": key},
                    )
            if not self._enter(connection, campaign, "settle", key, used):
                return
            figures.count(connection, counted or {})
            for account in ACCOUNTS:
                asked, amount = reserved.get(account) or 0, used.get(account, 0)
                balance = balances[account]
                if asked:
                    _write(
                        connection,
                        campaign,
                        account,
                        reserved=balance.reserved - asked,
                        settled=balance.settled + amount,
                    )

        with failpoints.around("purse.settle"):
            self._db.write(body)

    def raise_limits(self, campaign: str, key: str, add: Mapping[str, int]) -> None:
        """Adds to the limits (a top-up); an account without limit stays without.

        Raises:
            AlreadyExistsError: The key has raised by other amounts.
        """
        _check(add)

        def body(connection: sa.Connection) -> None:
            balances = _lock(connection, campaign)
            if not self._enter(connection, campaign, "raise", key, add):
                return
            for account, amount in add.items():
                limit = balances[account].limit
                if limit is not None:
                    _check({account: limit + amount})
                    _write(connection, campaign, account, limit=limit + amount)

        with failpoints.around("purse.raise"):
            self._db.write(body)

    def balance(self, campaign: str) -> dict[str, Balance]:
        """Both accounts, or NotFoundError."""
        with self._db.read() as connection:
            return _balances(connection, campaign, lock=False)

    def entries(self, campaign: str) -> tuple[Entry, ...]:
        """All changes, oldest first."""
        table = tables.purse_entries
        columns = (table.c.sequence, table.c.kind, table.c.key, table.c.amounts, table.c.create_time)
        query = sa.select(*columns).where(table.c.campaign == campaign).order_by(table.c.sequence)
        with self._db.read() as connection:
            return tuple(Entry(**row) for row in connection.execute(query).mappings())

    def _enter(
        self, connection: sa.Connection, campaign: str, kind: str, key: str, amounts: Mapping[str, int | None]
    ) -> bool:
        """Writes the entry that makes a change happen once; False when it has happened before."""
        values = {
            "campaign": campaign,
            "kind": kind,
            "key": key,
            "amounts": dict(amounts),
            "create_time": self._clock(),
        }
        if database.insert_if_absent(connection, tables.purse_entries, values):
            return True
        there = _amounts(connection, campaign, kind, key)
        if _without_zeros(there or {}) != _without_zeros(amounts):
            raise errors.AlreadyExistsError(
                f"{campaign}: {kind} {key!r} has happened with {there}, not {dict(amounts)}",
                metadata={"campaign": campaign, "key": key},
            )
        return False


def _without_zeros(amounts: Mapping[str, int | None]) -> dict[str, int | None]:
    return {account: amount for account, amount in amounts.items() if amount != 0}


def _check(amounts: Mapping[str, int | None]) -> None:
    for account, amount in amounts.items():
        if account not in ACCOUNTS:
            raise errors.InvalidInputError(
                f"expected an account out of {', '.join(ACCOUNTS)}; got {account!r}"
            )
        if amount is not None and not 0 <= amount <= LARGEST_AMOUNT:
            raise errors.InvalidInputError(f"{account}: expected an amount in [0, 2^62], got {amount}")


def _lock(connection: sa.Connection, campaign: str) -> dict[str, Balance]:
    return _balances(connection, campaign, lock=True)


def _balances(connection: sa.Connection, campaign: str, *, lock: bool) -> dict[str, Balance]:
    table = tables.purse_accounts
    query = sa.select(table).where(table.c.campaign == campaign).order_by(table.c.account)
    rows = connection.execute(query.with_for_update() if lock else query).all()
    if not rows:
        raise errors.NotFoundError(f"{campaign} has no purse", metadata={"campaign": campaign})
    return {row.account: Balance(limit=row.limit, reserved=row.reserved, settled=row.settled) for row in rows}


def _amounts(connection: sa.Connection, campaign: str, kind: str, key: str) -> dict[str, int | None] | None:
    table = tables.purse_entries
    found = sa.and_(table.c.campaign == campaign, table.c.kind == kind, table.c.key == key)
    amounts: dict[str, int | None] | None = connection.execute(
        sa.select(table.c.amounts).where(found)
    ).scalar_one_or_none()
    return amounts


def _write(connection: sa.Connection, campaign: str, account: str, **values: Any) -> None:
    table = tables.purse_accounts
    row = sa.and_(table.c.campaign == campaign, table.c.account == account)
    connection.execute(sa.update(table).where(row).values(values))


def _exceeded(
    campaign: str, account: str, balance: Balance, asked: int, key: str
) -> errors.BudgetExceededError:
    return errors.BudgetExceededError(
        f"{campaign}: {key!r} asks for {asked} {account}, of a limit of {balance.limit} there are "
        f"{balance.reserved} reserved and {balance.settled} settled, so {balance.free} are free: "
        "top the campaign up, or ask for less",
        metadata={
            "campaign": campaign,
            "account": account,
            "limit": str(balance.limit),
            "reserved": str(balance.reserved),
            "settled": str(balance.settled),
            "asked": str(asked),
        },
    )
