"""Arguments and options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Option(
        "--data", envvar="ACTUARY_DATA", help="Folder of database and artifacts, when no server is named."
    ),
]
Server = Annotated[
    str,
    typer.Option(
        "--server", envvar="ACTUARY_SERVER", help="host:port of a server; by default one in this process."
    ),
]
CampaignId = Annotated[str, typer.Argument(help="Id of the campaign.")]
HERE = Path("actuary-data")
