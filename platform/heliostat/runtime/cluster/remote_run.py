"""`helio run --cluster`: a job submitted, shown and waited for, and how it ended there."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence

from heliostat.runtime.cluster.asking import reach
from heliostat.runtime.cluster.following import follow_log
from heliostat.runtime.cluster.ray_jobs import RayJob, newest
from heliostat.runtime.cluster.submission import (
    Submission,
    plan,
    plan_to_go_on,
    submit,
)
from heliostat.runtime.events import Event, Note, Phase
from heliostat.runtime.outcome import Failure, Outcome, Status
from heliostat.spec import Document

Show = Callable[[Event], None]

_STATUS: dict[str, Status] = {"SUCCEEDED": "FINISHED", "STOPPED": "KILLED"}


def run_there(document: Document, *, cluster: str, show: Show) -> Outcome:
    """Submit the document, show its log, and return how the job ended on the cluster."""
    return _to_its_end(plan(document, job=None, cluster=cluster), show)


def resume_there(job: str, overrides: Sequence[str], *, cluster: str, show: Show) -> Outcome:
    """Go on with a job of the cluster, and return how it ended there."""
    return _to_its_end(plan_to_go_on(job, overrides, cluster=cluster), show)


def _to_its_end(request: Submission, show: Show) -> Outcome:
    for note in request.notes:
        show(Note(note))
    show(Phase(f"submitting {request.id} to {request.cluster}"))
    submit(request)
    cluster = reach(request.cluster)
    document: list[str] = []
    try:
        show(Phase(f"{request.id} is on the cluster"))
        ray_job = newest(cluster, request.id)
        pieces = follow_log(cluster, ray_job, lambda text: show(Note(text)))
        for line in _lines_before_document(pieces, document):
            show(Note(line))
        return _outcome(newest(cluster, request.id), request.job, "\n".join(document))
    except KeyboardInterrupt:
        return Outcome(request.job, None, "RUNNING", error=Failure("left", "it runs on there"))


def _lines_before_document(pieces: Iterator[str], document: list[str]) -> Iterator[str]:
    """Yield the log's lines but for the JSON document of `helio run --json`, which it ends with.

    That goes to `document`, line by line.
    """
    for line in _lines(pieces):
        if line == "{" or (document == ["{"] and not line.startswith('  "job": ')):
            yield from document  # it was another's
            document.clear()
        if line == "{" or document:
            document.append(line)
        else:
            yield line


def _lines(pieces: Iterator[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield from lines
    if rest:
        yield rest


def _outcome(ray_job: RayJob, job: str, document: str) -> Outcome:
    """Return the outcome that the job printed, or what Ray knows of one that printed none."""
    try:
        fields = json.JSONDecoder().raw_decode(document)[0]
    except ValueError:
        status = _STATUS.get(ray_job.status, "FAILED")
        reason = ray_job.message.strip().splitlines() or ["it wrote no log"]
        failure = None if status == "FINISHED" else Failure("internal", reason[-1])
        return Outcome(job, None, status, error=failure)
    fields["metrics"] = {k: math.nan if v is None else v for k, v in fields["metrics"].items()}
    error = fields.pop("error", None)
    return Outcome(**fields, error=Failure(**error) if error else None)
