"""The commands `actuary review …`, declared here and done in `commands/review.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from actuary.cli.arguments import HERE, CampaignId, Data, Server


class ReviewGroup(typer.core.TyperGroup):
    """Lets `actuary review CAMPAIGN` stand for `actuary review loop CAMPAIGN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Inserts the command that was left out."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args.insert(0, "loop")
        return super().parse_args(ctx, args)


review_app = typer.Typer(
    cls=ReviewGroup,
    help="Answer tasks: in this terminal (`actuary review CAMPAIGN`), or through files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@review_app.command(name="loop")
def review_loop(
    campaign: CampaignId,
    reviewer: Annotated[str, typer.Option("--as", help="Your name.")] = "me",
    data: Data = HERE,
    server: Server = "",
) -> None:
    """Answer tasks in this terminal."""
    from actuary.cli.commands import review as command

    command.loop(campaign, reviewer, data=data, server=server)


@review_app.command(name="export")
def review_export(
    campaign: CampaignId,
    path: Annotated[Path, typer.Argument(help="File to write: .csv or .jsonl.")],
    reviewer: Annotated[
        str, typer.Option("--as", help="Who will answer; the tasks are theirs until the lease ends.")
    ] = "me",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many tasks.")] = 1000,
    data: Data = HERE,
    server: Server = "",
) -> None:
    """Take tasks into a file, with an empty column `label` to fill in."""
    from actuary.cli.commands import review as command

    command.export(campaign, path, reviewer, limit, data=data, server=server)


@review_app.command(name="import")
def review_import(
    campaign: CampaignId,
    path: Annotated[Path, typer.Argument(help="The file, filled in.")],
    reviewer: Annotated[str, typer.Option("--as", help="Who answered; a column `reviewer` wins.")] = "me",
    data: Data = HERE,
    server: Server = "",
) -> None:
    """Submit the answers of a file; submitting it twice counts once."""
    from actuary.cli.commands import review as command

    command.import_(campaign, path, reviewer, data=data, server=server)


@review_app.command(name="close")
def review_close(campaign: CampaignId, data: Data = HERE, server: Server = "") -> None:
    """End the open batch early: the answers so far are a valid, smaller sample."""
    from actuary.cli.commands import review as command

    command.close(campaign, data=data, server=server)
