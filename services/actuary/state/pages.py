"""Pages of a listing: oldest first, by (create_time, name), with a token that says where the last page ended.

Rows that are added meanwhile come on a later page, never twice. The token is opaque to callers and carries
no secret.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from typing import Any

import sqlalchemy as sa

from actuary import errors

DEFAULT_SIZE = 50
LARGEST_SIZE = 1000


def size_of(page_size: int) -> int:
    """The size to use for the size that was asked for: 0 means the default, more than the largest is cut."""
    if page_size < 0:
        raise errors.InvalidInputError(f"page_size: expected [0, {LARGEST_SIZE}], got {page_size}")
    return min(page_size or DEFAULT_SIZE, LARGEST_SIZE)


def after(query: sa.Select[Any], table: sa.Table, page_token: str) -> sa.Select[Any]:
    """The query in the listing's order, from the row after the token on."""
    query = query.order_by(table.c.create_time, table.c.name)
    if not page_token:
        return query
    try:
        micros, name = json.loads(base64.urlsafe_b64decode(page_token.encode()))
        time = datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(microseconds=int(micros))
        name = str(name)
    except (ValueError, TypeError, binascii.Error, OverflowError, RecursionError) as error:
        raise errors.InvalidInputError(
            "page_token: expected the next_page_token of an answer, unchanged"
        ) from error
    return query.where(
        sa.or_(
            table.c.create_time > time,
            sa.and_(table.c.create_time == time, table.c.name > name),
        )
    )


def token_of(create_time: datetime.datetime, name: str) -> str:
    """The token of the page that follows this row."""
    elapsed = create_time - datetime.datetime.fromtimestamp(0, datetime.UTC)
    micros = elapsed // datetime.timedelta(microseconds=1)
    return base64.urlsafe_b64encode(json.dumps([micros, name]).encode()).decode()
