"""`helio run --dry-run`: what would run, and what it can cost at most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from heliostat.cli.services import Services
from heliostat.cli.wording import table

if TYPE_CHECKING:
    from heliostat.spec import Document, TuneSpec

SHOWN_RUNGS = 20


def dry_run(
    services: Services, document: Document, *, cluster: str | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the plan of a spec, as a document and as lines; nothing is started.

    How many trials fit at once on a `cluster` that is elsewhere is not known from here.
    """
    from heliostat.spec import InputError, TuneSpec

    spec = document.spec
    if not isinstance(spec, TuneSpec):
        job = _job(spec)
        return job, [_job_line(job)]
    try:
        search = _search(services, spec, here=cluster is None)
    except InputError as error:
        raise document.locate(error) from error
    return search, [*_search_lines(search)]


def _search(services: Services, spec: TuneSpec, *, here: bool) -> dict[str, Any]:
    plan = services.search_plan(spec)
    return {
        "name": spec.name,
        "kind": spec.kind,
        "algorithm": spec.algorithm,
        "scheduler": spec.scheduler.name,
        "trials": plan.trials,
        "at_once": services.trials_at_once(spec) if here else spec.concurrent,
        "most_epochs": plan.most_epochs,
        "minutes": spec.budget.minutes,
        "most_legs": plan.most_legs,
        "rungs": [
            {
                "bracket": rung.bracket,
                "epochs": rung.epochs,
                "trials": rung.trials,
                "trials_at_most": rung.most,
            }
            for rung in plan.rungs
        ],
    }


def _search_lines(search: dict[str, Any]) -> Iterator[str]:
    """Yield what a search can come to; what has no limit of its own says what ends it."""
    epochs, minutes = search["most_epochs"], search["minutes"]
    facts = {
        "trials": search["trials"] or "until the budget is spent",
        "at once": search["at_once"] or "as many as the cluster holds",
        "epochs": "no limit known" if epochs is None else f"at most {epochs:,}, of all together",
    }
    if minutes is not None:
        facts["time"] = f"at most {minutes:g} minutes"
    yield f"{search['name']}: a search, {search['algorithm']}, scheduler {search['scheduler']}"
    yield from (f"  {name:<7} {value}" for name, value in facts.items())
    rungs = search["rungs"]
    if len(rungs) > 1:
        yield from table(rungs[:SHOWN_RUNGS], list(rungs[0]), empty="")
    if len(rungs) > SHOWN_RUNGS:
        yield f"… {len(rungs) - SHOWN_RUNGS:,} more rungs"
    yield "Nothing was started."


def _job(spec: Any) -> dict[str, Any]:
    """Return what a job of another kind would do; predict and evaluate have no epochs or steps."""
    return {
        "name": spec.name,
        "kind": spec.kind,
        "workers": spec.resources.workers,
        "epochs": getattr(spec, "epochs", None),
        "max_steps": getattr(spec, "max_steps", None),
    }


def _job_line(job: dict[str, Any]) -> str:
    workers = job["workers"]
    parts = [job["kind"], "1 worker" if workers == 1 else f"{workers} workers"]
    if not isinstance(workers, int):
        parts[1] = f"{workers[0]} to {workers[1]} workers"
    if job["epochs"] is not None:
        parts.append(f"{job['epochs']} epochs")
    if job["max_steps"] is not None:
        parts.append(f"at most {job['max_steps']:,} steps")
    return f"{job['name']}: {', '.join(parts)}; nothing was started"
