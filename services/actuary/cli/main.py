"""The command line: commands are declared here and done in `commands/`.

Those are imported when they run: `--help` stays quick and nothing heavy is loaded before it is needed.
"""

from __future__ import annotations

import atexit
import contextlib
import enum
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from actuary.cli import review_app
from actuary.cli.arguments import HERE, CampaignId, Data, Server

app = typer.Typer(
    name="actuary",
    help="Labels a data set with a model, prices the risk of each label, and spends people where they pay.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(review_app.review_app, name="review")


class FileFormat(enum.StrEnum):
    """Formats of written tables."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


@app.command()
def run(
    spec: Annotated[
        str, typer.Argument(help="campaign.yaml, a folder that holds one, or a sample: digits, synthetic.")
    ],
    data: Data = HERE,
    campaign_id: Annotated[
        str, typer.Option("--id", help="Id; by default the name of the sample or folder.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the spec's.")] = None,
    server: Server = "",
) -> None:
    """Run a whole campaign and print what came of it; the same command goes on where it was stopped."""
    from actuary.cli.commands import campaigns

    campaigns.run(spec, data=data, campaign_id=campaign_id, as_json=as_json, seed=seed, server=server)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
) -> None:
    """Write a commented campaign.yaml to start from."""
    from actuary.cli.commands import init as command

    command.init(folder)


@app.command()
def up(
    data: Data = HERE,
    address: Annotated[str, typer.Option(help="host:port to listen on.")] = "127.0.0.1:7411",
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics; 0 for none.")] = 9411,
) -> None:
    """Serve all six services on one port, until Ctrl-C."""
    from actuary import logs
    from actuary.cli.commands import servers

    logs.configure()
    servers.up(data, address, metrics_port)


@app.command()
def serve(
    services: Annotated[
        list[str], typer.Argument(help="campaign, annotator, critic, sampler, review, trainer.")
    ],
    address: Annotated[str, typer.Option(help="host:port to listen on.")] = "0.0.0.0:7411",
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics; 0 for none.")] = 9411,
) -> None:
    """Serve some services of a cluster, which ACTUARY_… variables describe."""
    from actuary import logs
    from actuary.cli.commands import servers

    logs.configure(form="json")
    servers.serve(services, address, metrics_port)


@app.command()
def quote(
    campaign: Annotated[
        str,
        typer.Argument(
            help="Id of the campaign; before there is one, its campaign.yaml, folder or sample: "
            "then the quote is from assumptions."
        ),
    ],
    accuracy: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help="How much for this accuracy, a fraction?")
    ] = None,
    money: Annotated[float | None, typer.Option(min=0.0, help="What for so many dollars in all?")] = None,
    labels: Annotated[int | None, typer.Option(min=1, help="What for so many human labels?")] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="Assumed: items to label; by default they are counted.")
    ] = None,
    assume_accuracy: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Assumed: LOW HIGH of the machine's accuracy; default 0.5 0.98."),
    ] = None,
    assume_auroc: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Assumed: LOW HIGH of the critic's AUROC; default 0.55 0.9."),
    ] = None,
    item_money: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Assumed: LOW HIGH dollars an item, for the models, critic included."),
    ] = None,
    item_seconds: Annotated[
        tuple[float, float] | None, typer.Option(help="Assumed: LOW HIGH seconds an item, for the models.")
    ] = None,
    label_seconds: Annotated[
        tuple[float, float] | None, typer.Option(help="Assumed: LOW HIGH seconds a human label.")
    ] = None,
    reviewers: Annotated[int | None, typer.Option(min=1, help="Assumed: people at work; default 1.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    data: Data = HERE,
    server: Server = "",
) -> None:
    """Show what any budget would buy, from the pilot or from assumptions, and answer what is asked of it."""
    from actuary.cli.commands import quote as command

    command.quote(
        campaign,
        command.Question(accuracy=accuracy, money=money, labels=labels),
        command.Assumptions(
            items=items,
            accuracy=assume_accuracy,
            auroc=assume_auroc,
            item_money=item_money,
            item_seconds=item_seconds,
            label_seconds=label_seconds,
            reviewers=reviewers,
        ),
        as_json=as_json,
        data=data,
        server=server,
    )


@app.command()
def watch(campaign: CampaignId, data: Data = HERE, server: Server = "") -> None:
    """Follow a campaign until it needs nobody's work any more."""
    from actuary.cli.commands import campaigns

    campaigns.watch(campaign, data=data, server=server)


@app.command(name="list")
def list_campaigns(data: Data = HERE, server: Server = "") -> None:
    """List the campaigns."""
    from actuary.cli.commands import campaigns

    campaigns.list_all(data=data, server=server)


@app.command()
def approve(campaign: CampaignId, data: Data = HERE, server: Server = "") -> None:
    """Let a campaign that waits after its quote spend its money."""
    from actuary.cli.commands import campaigns

    campaigns.steer("approve", campaign, data=data, server=server)


@app.command()
def pause(campaign: CampaignId, data: Data = HERE, server: Server = "") -> None:
    """Start no new work."""
    from actuary.cli.commands import campaigns

    campaigns.steer("pause", campaign, data=data, server=server)


@app.command()
def resume(campaign: CampaignId, data: Data = HERE, server: Server = "") -> None:
    """Go on after a pause, or try a failed stage again."""
    from actuary.cli.commands import campaigns

    campaigns.steer("resume", campaign, data=data, server=server)


@app.command()
def cancel(campaign: CampaignId, data: Data = HERE, server: Server = "") -> None:
    """Stop a campaign for good; what was bought stays usable."""
    from actuary.cli.commands import campaigns

    campaigns.steer("cancel", campaign, data=data, server=server)


@app.command()
def topup(
    campaign: CampaignId,
    labels: Annotated[int, typer.Option(min=0, help="Further human labels.")] = 0,
    money: Annotated[float, typer.Option(min=0, help="Further money, in dollars.")] = 0.0,
    request_id: Annotated[str, typer.Option(help="Name of this top-up; the same name adds once.")] = "",
    data: Data = HERE,
    server: Server = "",
) -> None:
    """Add to the budget; labels add a wave to the campaign."""
    from actuary.cli.commands import campaigns

    campaigns.top_up(campaign, labels, money, request_id, data=data, server=server)


@app.command()
def export(
    campaign: CampaignId,
    path: Annotated[Path, typer.Argument(help="File to write: .parquet, .csv or .jsonl.")],
    data: Data = HERE,
    server: Server = "",
) -> None:
    """Write the finished data set."""
    from actuary.cli.commands import campaigns

    campaigns.export(campaign, path, data=data, server=server)


@app.command()
def report(
    campaign: CampaignId,
    path: Annotated[Path, typer.Argument(help="HTML file to write.")],
    data: Data = HERE,
    server: Server = "",
) -> None:
    """Write the report."""
    from actuary.cli.commands import campaigns

    campaigns.report(campaign, path, data=data, server=server)


@app.command()
def verify(
    certificate: Annotated[Path, typer.Argument(help="The certificate, a JSON file.")],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            envvar="ACTUARY_DATA",
            help="Data folder, or URI of the store (file:///folder, s3://bucket/prefix).",
        ),
    ] = str(HERE),
) -> None:
    """Recompute a certificate from its artifacts alone: 0 it holds, 1 it does not, 2 it is none."""
    from actuary.cli.commands import verify as command

    command.verify(certificate, data)


@app.command()
def gc(
    data: Data = HERE,
    store: Annotated[str, typer.Option(help="URI of the store, instead of the one in --data.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    older_than_hours: Annotated[float, typer.Option(min=0, help="Leave alone what is younger.")] = 24.0,
) -> None:
    """Remove objects that no manifest names."""
    from actuary.cli.commands import servers

    servers.gc(data, store, dry_run=dry_run, older_than_hours=older_than_hours)


@app.command()
def doctor(
    spec: Annotated[str, typer.Argument(help="campaign.yaml to check as well.")] = "",
    data: Data = HERE,
    address: Annotated[str, typer.Option(help="host:port that a server would listen on.")] = "127.0.0.1:7411",
) -> None:
    """Check store, database, ports, models and prices, and say what to do about what is wrong."""
    from actuary.cli.commands import doctor as command

    command.doctor(spec, data, address)


@app.command(hidden=True)
def migrate() -> None:
    """Bring the database of ACTUARY_DATABASE_URL to this version, as the chart does before an upgrade."""
    from actuary import logs
    from actuary.cli.commands import servers

    logs.configure(form="json")
    servers.migrate()


@app.command(hidden=True)
def work(
    uri: Annotated[str, typer.Argument(help="URI of the Job's job.json.")],
    index: Annotated[int, typer.Option(min=0, help="Which process of the Job this is.")] = 0,
    attempt: Annotated[int, typer.Option(min=0, help="How often it was started before.")] = 0,
    in_pod: Annotated[
        bool, typer.Option("--in-pod", help="Take the index from the pod, and start what crashes again.")
    ] = False,
) -> None:
    """Do one process's share of a Job; started by the runner."""
    # processes are what runs side by side; and sums by another number of threads differ in their last bits,
    # so that results would depend on the machine. NumPy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from actuary.cli import worker

    raise typer.Exit(worker.work_in_pod(uri) if in_pod else worker.work(uri, index, attempt))


def main() -> None:
    """Entry point: runs a command, and ends the process without taking the interpreter apart.

    A thread of a library that asks for the interpreter while that is being taken apart is ended inside its
    own C++, which aborts the process: a command that has said all it had to would exit with SIGABRT.
    """
    code = _run()
    with contextlib.suppress(OSError):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _run() -> int:
    """Runs a command: deliberate errors become one message and an exit code, without a traceback."""
    from actuary import errors

    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            typer.echo(ended.code, err=True)
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except errors.InvalidInputError as error:
        typer.echo(f"error: {error}", err=True)
        return 2
    except errors.ActuaryError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    except ValueError as error:
        for line in _wrong_variables(error):
            typer.echo(f"error: {line}", err=True)
        return 2
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        typer.echo(f"error: {error.filename or 'this machine'}: {error.strerror or error}", err=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _wrong_variables(error: ValueError) -> list[str]:
    """What is wrong with the environment, if it was that; raises any other error again."""
    import pydantic  # late: it takes longer to import than `--help` to print

    if not isinstance(error, pydantic.ValidationError):
        raise error
    section = error.title.removesuffix("Settings").removesuffix("Process").replace("Planning", "Jobs")
    lines = []
    for each in error.errors():
        variable = "_".join(str(part) for part in ("ACTUARY", section, *each["loc"]) if part != "").upper()
        lines.append(f"{variable}: {each['msg']}, got {each['input']!r}")
    return lines


if __name__ == "__main__":
    main()
