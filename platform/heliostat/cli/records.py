"""`helio runs`, `models`, `promote` and `sync`: what MLflow holds, and what it still lacks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from heliostat.cli.answer import answering
from heliostat.cli.options import AsJson
from heliostat.cli.services import Services
from heliostat.cli.trials import settings, short_keys
from heliostat.cli.wording import duration, table

_RUN_COLUMNS = (
    "job",
    "kind",
    "experiment",
    "status",
    "started",
    "took",
    "objective",
    "value",
    "model",
)
_TRIAL_COLUMNS = ("trial", "status", "epoch", "value", "took", "values", "reason", "run_id")
_MODEL_COLUMNS = ("name", "version", "aliases", "metric", "value", "created", "run_id")


def runs(
    context: typer.Context,
    experiment: Annotated[
        str | None, typer.Option("--experiment", metavar="NAME", help="Only this experiment's.")
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="ID", help="The trials of this search.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest runs, or a search's trials from the best on."""
    services: Services = context.obj
    if search is not None and experiment is not None:
        raise typer.BadParameter("--search and --experiment exclude each other")
    with answering(as_json) as answer:
        if search is not None:
            trials = [asdict(row) for row in services.trials(search)]
            answer({"search": search, "trials": trials}, _trials_table(search, trials))
            return
        rows = [asdict(row) for row in services.runs(experiment)]
        shown = [row | {"took": duration(row["seconds"])} for row in rows]
        answer({"runs": rows}, table(shown, _RUN_COLUMNS, empty="no runs"))


def _trials_table(search: str, trials: list[dict[str, Any]]) -> list[str]:
    names = short_keys(key for trial in trials for key in trial["values"])
    rows = [
        trial
        | {
            "trial": trial["number"],
            "took": duration(trial["seconds"]),
            "values": settings(trial["values"], names),
        }
        for trial in trials
    ]
    return table(rows, _TRIAL_COLUMNS, empty=f"MLflow holds no trials of {search}")


def models(context: typer.Context, as_json: AsJson = False) -> None:
    """List the registered models' versions."""
    services: Services = context.obj
    with answering(as_json) as answer:
        rows = [asdict(row) for row in services.models()]
        answer({"models": rows}, table(rows, _MODEL_COLUMNS, empty="no models"))


def promote(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A registered model's name.")],
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Its version.")],
    alias: Annotated[str, typer.Option("--alias", help="The alias to give it.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Give a model's version an alias that moves, such as champion."""
    services: Services = context.obj
    with answering(as_json) as answer:
        before = services.promote(name, version, alias)
        was = "new" if before is None else f"was version {before}"
        answer(
            {"name": name, "version": version, "alias": alias, "previous": before},
            [f"models:/{name}@{alias} is now version {version} ({was})"],
        )


def sync(
    context: typer.Context,
    job: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One job only; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send MLflow what the journals of ended jobs still hold."""
    services: Services = context.obj
    with answering(as_json) as answer:
        rows = [asdict(row) for row in services.sync(job)]
        columns = ("job", "records", "status", "run_id")
        answer({"synced": rows}, table(rows, columns, empty="nothing to send"))
