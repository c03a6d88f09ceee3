"""What is said at a job's end."""

from __future__ import annotations

import json
from typing import Any

from heliostat.cli.wording import duration, number
from heliostat.runtime.outcome import Failure, Outcome, Status

EXIT_STATUS: dict[Status, int] = {"FINISHED": 0, "FAILED": 1, "KILLED": 130, "RUNNING": 130}
SHOWN_METRICS = 12

_ENDED: dict[Status, str] = {
    "FINISHED": "finished in",
    "FAILED": "failed after",
    "KILLED": "interrupted after",
    "RUNNING": "runs on, on the cluster, after",
}


def summary(outcome: Outcome) -> list[str]:
    """Return the lines that close a job: how it ended, its figures, where the rest is."""
    if not outcome.job:
        return ["interrupted before the job began"]
    facts = _best(outcome.best) if outcome.best else []
    facts += _metrics(outcome.metrics)
    facts += [
        (name, value)
        for name, value in (
            ("model", outcome.model),
            ("output", outcome.output),
            ("run", outcome.run_id),
        )
        if value
    ]
    width = max((len(name) for name, _ in facts), default=0)
    return [
        f"{outcome.job}: {_ENDED[outcome.status]} {duration(outcome.seconds)}",
        *(f"  {name:<{width}}  {value}" for name, value in facts),
        *([f"All trials: helio runs --search {outcome.job}"] if outcome.best else []),
        _next_step(outcome),
    ]


def complaint(failure: Failure) -> str:
    """Return why the job failed, with the user's own traceback where there is one."""
    return f"{failure.verdict.replace('_', ' ')}: {failure.message.rstrip()}"


def _best(best: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a search's best trial and its values, exact: whoever trains with them copies them."""
    values = [(key, json.dumps(value)) for key, value in best["values"].items()]
    return [("best trial", f"{best['trial']}, {number(best['value'])}"), *values]


def _metrics(metrics: dict[str, float]) -> list[tuple[str, str]]:
    """Return at most 12: those of the test, of validation, the rest, and last those per class."""

    def rank(name: str) -> tuple[bool, int]:
        part, *rest = name.split("/")
        return len(rest) > 1, {"test": 0, "val": 1}.get(part, 2)

    names = sorted(metrics, key=rank)
    facts = [(name, number(metrics[name])) for name in names[:SHOWN_METRICS]]
    if len(names) > SHOWN_METRICS:
        facts.append(("…", f"{len(names) - SHOWN_METRICS} more in MLflow"))
    return facts


def _next_step(outcome: Outcome) -> str:
    if outcome.status == "FINISHED":
        return "See it with: helio ui"
    if outcome.status == "RUNNING":
        return (
            f"Follow it with: helio logs {outcome.job} -f; stop it with: helio stop {outcome.job}"
        )
    return f"Go on with: helio resume {outcome.job}"
