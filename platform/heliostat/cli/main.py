"""`helio`: one function a command, and the one place where an error becomes an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from heliostat.cli import checking, cluster, jobs, looking, records, serving, standing
from heliostat.cli.data import data_app
from heliostat.cli.services import Services

if TYPE_CHECKING:
    from heliostat.spec.problems import InputError


def main(argv: Sequence[str] | None = None, services: Services | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 the job failed, 2 wrong input, 130.

    130 is an interrupt (typer turns Ctrl-C into it). Any other exception is a bug of ours and
    keeps its traceback.
    """
    try:
        status = get_command(app).main(
            list(sys.argv[1:] if argv is None else argv),
            prog_name="helio",
            obj=services or Services(),
            standalone_mode=False,
        )
    except (typer.TyperException, _input_error()) as error:
        sys.stderr.write(_explained(error) + "\n")
        return 2
    return status or 0


def _input_error() -> type[InputError]:
    """Import late: it is only asked for once something was raised, and `--help` needs no spec."""
    from heliostat.spec.problems import InputError

    return InputError


def _explained(error: typer.TyperException | InputError) -> str:
    """Return an InputError's lines as they are; a usage error is one line that says where to look.

    Only typer's usage errors have a context, and their class is not public.
    """
    if not isinstance(error, typer.TyperException):
        return str(error)
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context else "helio"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{command}: {message}; see {command} --help"


app = typer.Typer(
    add_completion=False,
    # Plain help: rich would take 0.25 s of the half second that `helio --help` has.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _helio(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Distributed training, evaluation and prediction for PyTorch, on Ray, remembered by MLflow."""
    if version:
        print(f"helio {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("heliostat")
    except metadata.PackageNotFoundError:
        return "from a source tree that is not installed"


for _command in (
    jobs.run,
    checking.check,
    jobs.resume,
    standing.up,
    standing.join,
    standing.down,
    standing.status,
    cluster.submit,
    cluster.jobs,
    cluster.logs,
    cluster.stop,
    records.runs,
    records.models,
    records.promote,
    records.sync,
    serving.ui,
):
    app.command()(_command)

data_app.command("check")(looking.check_data)
data_app.command("show")(looking.show_data)
app.add_typer(data_app, name="data")
