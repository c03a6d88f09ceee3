"""`helio submit`: a job handed to a Ray cluster through Ray Jobs; the request is a value first."""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from heliostat.runtime.events import Event, Note, Phase
from heliostat.runtime.job import new_id
from heliostat.runtime.outcome import Failure, Outcome
from heliostat.spec import LEGAL_NAME, Document, InputError, is_legal_name

MAX_BYTES = 100 * 1024 * 1024
"""Ray's own limit of a working directory that travels."""

JOB_ID = "HELIO_JOB_ID"
"""Tells the driver on the cluster the id that was given here."""

OUTCOME = '{\n  "job": '
"""How the document of `helio run --json` begins, in the log."""

FORWARDED = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "AWS_ENDPOINT_URL")
"""What means the same on the cluster; secrets are not among it."""


CHATTY = ("ray", "ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
"""Ray's loggers that tell of every upload."""

ANSWER_SECONDS = 5.0

AGENT_SECONDS = 60.0
"""How long a head that was just started may take until it can start jobs."""


@dataclass(frozen=True)
class Submission:
    """A request to Ray Jobs, complete and not yet sent."""

    job: str
    cluster: str
    entrypoint: str
    working_dir: str
    """The spec's folder, which travels with the user's code in it."""
    bytes: int
    env: dict[str, str]
    metadata: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the request as `--dry-run` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class JobRow:
    """A job that the cluster knows."""

    id: str
    name: str
    status: str
    """Ray's word: PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED."""
    started: datetime | None
    """UTC"""
    message: str


def plan(document: Document, *, job: str | None, cluster: str) -> Submission:
    """Return the request to run the document on `cluster`, a Ray Jobs address.

    Raises InputError for a folder too large to travel.
    """
    size = _size(document.folder)
    if size > MAX_BYTES:
        raise InputError.of(
            f"{document.folder} has {size / 2**20:.0f} MiB and travels whole; Ray takes"
            f" {MAX_BYTES / 2**20:.0f}",
            valid="move data out of the spec's folder, or name it in .rayignore",
        )
    command = ["python", "-m", "heliostat.cli", "run", document.path.name, "--json"]
    for override in document.overrides:
        command += ["--set", override]
    if job is not None and not is_legal_name(job):
        raise InputError.of(f"{job!r} is not a legal id", valid=LEGAL_NAME)
    job = job or new_id(document.spec.name)
    env = {name: os.environ[name] for name in FORWARDED if name in os.environ}
    return Submission(
        job=job,
        cluster=cluster,
        entrypoint=shlex.join(command),
        working_dir=str(document.folder),
        bytes=size,
        env={**env, JOB_ID: job},
        metadata={"name": document.spec.name, "kind": document.spec.kind},
    )


def submit(submission: Submission) -> str:
    """Send the request; return the job's id. An id that the cluster knows already is that job."""
    with _asking(submission.cluster) as client:
        if submission.job in {row.submission_id for row in client.list_jobs()}:
            return submission.job
        _send(client, submission)
    return submission.job


def jobs(cluster: str) -> tuple[JobRow, ...]:
    """Return the cluster's jobs, newest first."""
    with _asking(cluster) as client:
        details = [d for d in client.list_jobs() if d.submission_id]
    return tuple(_row(d) for d in sorted(details, key=lambda d: -(d.start_time or 0)))


def logs(cluster: str, job: str, *, follow: bool) -> Iterator[str]:
    """Yield the job's log in pieces; with `follow`, until the job ends.

    A dropped connection is taken up again where it was: no line is lost or told twice.
    """
    told = 0
    with _asking(cluster) as client:
        while True:
            ended = _known(client, job).status.is_terminal()
            text = client.get_job_logs(job)
            if len(text) > told:
                yield text[told:]
                told = len(text)
            if ended or not follow:
                return
            time.sleep(0.5)


def stop(cluster: str, job: str) -> str:
    """Stop a job; return its status."""
    with _asking(cluster) as client:
        _known(client, job)
        client.stop_job(job)
        return str(_known(client, job).status.value)


def run_there(document: Document, *, cluster: str, show: Callable[[Event], None]) -> Outcome:
    """Submit the document, show its log, and return how the job ended on the cluster."""
    submission = plan(document, job=None, cluster=cluster)
    show(Phase(f"submitting {submission.job} to {cluster}"))
    submit(submission)
    text = ""
    for piece in logs(cluster, submission.job, follow=True):
        text += piece
        for line in piece.split(OUTCOME)[0].splitlines():
            show(Note(line))
    return _outcome(submission.job, text)


def _outcome(job: str, log: str) -> Outcome:
    """Return the outcome that `helio run --json` printed at the end of the log."""
    _, found, document = log.rpartition(OUTCOME)
    if not found:
        last = log.strip().splitlines()[-1] if log.strip() else "it wrote no log"
        return Outcome(job, None, "FAILED", error=Failure("internal", last))
    fields = json.JSONDecoder().raw_decode(OUTCOME + document)[0]
    fields["metrics"] = {k: math.nan if v is None else v for k, v in fields["metrics"].items()}
    error = fields.pop("error", None)
    return Outcome(**fields, error=Failure(**error) if error else None)


def _send(client: Any, submission: Submission) -> None:
    deadline = time.monotonic() + AGENT_SECONDS
    while True:
        try:
            client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=submission.job,
                runtime_env={"working_dir": submission.working_dir, "env_vars": submission.env},
                metadata=submission.metadata,
            )
            return
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(1)


@contextmanager
def _asking(cluster: str) -> Iterator[Any]:
    """Give a client of the cluster's Jobs API; say in a line why it is not to be had."""
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    _check_answers(cluster)
    # Both override the address that JobSubmissionClient is given.
    hidden = {n: os.environ.pop(n, None) for n in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    try:
        client = JobSubmissionClient(cluster)
        for name in CHATTY:  # making a client sets their levels
            logging.getLogger(name).setLevel(logging.ERROR)
        yield client
    except AuthenticationError as error:
        message = f"the Ray cluster at {cluster} asks for a token, and this one is none or another"
        raise InputError.of(message, valid="RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH") from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError.of(f"the Ray cluster at {cluster}: {reason}") from error
    finally:
        os.environ.update({name: value for name, value in hidden.items() if value is not None})


def _check_answers(cluster: str) -> None:
    """Raise InputError, within seconds, where nothing listens; Ray itself would try for long."""
    parts = urlsplit(cluster)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError.of(
            f"{cluster!r} is not the address of a cluster's Jobs API", valid="http://host:8265"
        )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), ANSWER_SECONDS).close()
    except OSError as error:
        raise InputError.of(
            f"no Ray cluster answers at {cluster} ({error.strerror or error})",
            valid="start it, or another --cluster",
        ) from error


def _known(client: Any, job: str) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "does not exist" not in str(error) and "404" not in str(error):
            raise
        raise InputError.of(f"the cluster has no job {job}", valid="see `helio jobs`") from error


def _row(details: Any) -> JobRow:
    started = details.start_time and datetime.fromtimestamp(details.start_time / 1000, UTC)
    return JobRow(
        id=details.submission_id,
        name=(details.metadata or {}).get("name", ""),
        status=str(details.status.value),
        started=started or None,
        message=(details.message or "").splitlines()[0] if details.message else "",
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
