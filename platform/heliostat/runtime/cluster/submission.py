"""`helio submit`: a job as a request to Ray Jobs, which is a value first."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from heliostat.runtime.cluster.asking import Cluster, ClusterAway, Refused, reach
from heliostat.runtime.cluster.moving import folder_of, moved, train_file
from heliostat.runtime.cluster.packing import Package, pack, uri_of
from heliostat.runtime.cluster.ray_jobs import JOB, RayJob, all_jobs, newest, submission
from heliostat.runtime.cluster.turns import TURNS
from heliostat.runtime.cluster.versions import check_versions
from heliostat.runtime.job import new_id
from heliostat.spec import LEGAL_NAME, Document, InputError, is_legal_name

JOB_ID = "HELIO_JOB_ID"
"""Tells the driver on the cluster the id that was given here."""

STOPPING = {"RAY_JOB_STOP_SIGNAL": "SIGTERM", "RAY_JOB_STOP_WAIT_TIME_S": "90"}
"""A stopped job has time for a last checkpoint; Ray's own is 3 s."""

AGENT_SECONDS = 90.0
"""How long a head that was just started may take until it can start jobs."""

DIGEST = "digest"
PACKAGE = "package"


@dataclass(frozen=True)
class Submission:
    """A request to Ray Jobs, complete and not yet sent."""

    id: str
    """The submission's id: the job's, and for one that goes on, with its number behind."""
    cluster: str
    entrypoint: str
    env: dict[str, str]
    metadata: dict[str, str]
    resources: dict[str, float] = field(default_factory=dict)
    """What the driver asks for: its turn, where the cluster has turns."""
    package: Package | None = None
    """What travels; None: nothing, for a job that is there already."""
    notes: tuple[str, ...] = ()
    """What a person should know before it is sent."""

    @property
    def job(self) -> str:
        """The job's id."""
        return self.metadata[JOB]

    def as_json(self) -> dict[str, Any]:
        """Return the request as `--dry-run` prints it."""
        package = self.package
        return {
            "id": self.id,
            "job": self.job,
            "cluster": self.cluster,
            "entrypoint": self.entrypoint,
            "working_dir": str(package.root) if package else None,
            "files": len(package.files) if package else 0,
            "bytes": package.size if package else 0,
            "left_out": [
                {"name": name, "files": files, "bytes": size}
                for name, files, size in (package.left_out if package else ())
            ],
            "env": self.env,
            "metadata": self.metadata,
            "resources": self.resources,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Submitted:
    """What became of a request."""

    job: str
    id: str
    new: bool
    """False: the cluster had this job already, and it is that one."""
    notes: tuple[str, ...] = ()


def plan(document: Document, *, job: str | None, cluster: str) -> Submission:
    """Return the request to run the document on `cluster`, the address of its dashboard.

    Nothing is sent. Raises InputError for a folder too large to travel, and for a cluster that
    does not answer, refuses the token, or has another Ray or Python.
    """
    if job is not None and not is_legal_name(job):
        raise InputError.of(f"{job!r} is not a legal id", valid=LEGAL_NAME)
    also, file = train_file(document), folder_of(document) / document.path.name
    package = pack(file.parent, file, [also] if also else [])
    overrides, notes = moved(document, package)
    if package.left_out_said:
        notes = (package.left_out_said, *notes)
    there = reach(cluster)
    check_versions(there)
    job = job or new_id(document.spec.name)
    metadata: dict[str, str] = {"name": document.spec.name, "kind": document.spec.kind, JOB: job}
    metadata[DIGEST] = _digest(document.text, file.name, *overrides)
    return Submission(
        id=job,
        cluster=there.address,
        entrypoint=_command("run", str(file.relative_to(package.root)), overrides),
        env={JOB_ID: job, "HELIO_CLUSTER": "", **STOPPING},
        metadata=metadata,
        resources=_turn(there),
        package=package,
        notes=notes,
    )


def plan_to_go_on(job: str, overrides: Sequence[str], *, cluster: str) -> Submission:
    """Return the request to go on with a job there: a submission `ID-2`, then `ID-3`…

    Raises InputError for a job that the cluster does not know, or that has not ended.
    """
    there = reach(cluster)
    check_versions(there)
    last = newest(there, job)
    if not last.over:
        raise InputError.of(
            f"job {job} is {last.status} there", valid="wait for its end, or stop it"
        )
    before = [one for one in all_jobs(there) if one.job == last.job]
    metadata = {k: v for k, v in last.metadata.items() if k in ("name", "kind")}
    metadata |= {JOB: last.job, DIGEST: _digest(*overrides)}
    return Submission(
        id=f"{last.job}-{len(before) + 1}",
        cluster=there.address,
        entrypoint=_command("resume", last.job, overrides),
        env={"HELIO_CLUSTER": "", **STOPPING},
        metadata=metadata,
        resources=_turn(there),
    )


def submit(request: Submission) -> Submitted:
    """Send the request; an id that the cluster knows already is that job, of the same spec.

    Raises InputError for an id under which another spec was submitted.
    """
    cluster = reach(request.cluster)
    archive = request.package.archive() if request.package else b""
    uri = uri_of(archive) if archive else None
    if uri is not None:
        request = replace(request, metadata={**request.metadata, PACKAGE: uri})
    known = submission(cluster, request.id)
    if known is not None:
        return _same(known, request)
    if uri is not None:
        _upload(cluster, uri, archive)
    environment: dict[str, Any] = {"env_vars": request.env}
    body = {
        "entrypoint": request.entrypoint,
        "submission_id": request.id,
        "runtime_env": environment | ({"working_dir": uri} if uri else {}),
        "metadata": request.metadata,
        "entrypoint_resources": request.resources,
    }
    return _send(cluster, request, body)


def _send(cluster: Cluster, request: Submission, body: dict[str, Any]) -> Submitted:
    """Send until the cluster has it; whether a request that was cut off arrived, is asked."""
    deadline = time.monotonic() + AGENT_SECONDS
    cut_off = False
    while True:
        problem: Refused | ClusterAway
        try:
            response = cluster.ask("POST", "/api/jobs/", json=body)
            if response.status_code == 200:
                return Submitted(request.job, request.id, new=True)
            known = submission(cluster, request.id)
            if known is not None:  # somebody was faster by a moment, or it was we
                return replace(_same(known, request), new=cut_off)
            problem = cluster.refused(response)
            if "No available agent" not in response.text:
                raise problem
        except ClusterAway as away:
            cut_off, problem = True, away
        if time.monotonic() > deadline:
            raise problem
        time.sleep(1)


def _same(known: RayJob, request: Submission) -> Submitted:
    if known.metadata.get(DIGEST) != request.metadata[DIGEST]:
        raise InputError.of(
            f"the cluster has a job {request.id} of another spec", valid="another --id, or none"
        )
    changed = known.metadata.get(PACKAGE) != request.metadata.get(PACKAGE)
    note = "the spec's folder has changed since: the job runs with what it held then"
    return Submitted(known.job, known.id, new=False, notes=(note,) if changed else ())


def _upload(cluster: Cluster, uri: str, archive: bytes) -> None:
    path = "/api/packages/" + uri.replace("://", "/")
    there = cluster.ask("GET", path)  # which keeps it from being cleared away meanwhile
    if there.status_code == 404:
        there = cluster.ask("PUT", path, data=archive)
    if there.status_code != 200:
        raise cluster.refused(there)


def _turn(cluster: Cluster) -> dict[str, float]:
    nodes = cluster.value("GET", "/api/v0/nodes")["data"]["result"]["result"]
    has_turns = any(TURNS in (node.get("resources_total") or {}) for node in nodes)
    return {TURNS: 1.0} if has_turns else {}


def _command(verb: str, what: str, overrides: Sequence[str]) -> str:
    words = ["python", "-m", "heliostat.cli", verb, what, "--json"]
    return shlex.join(words + [word for one in overrides for word in ("--set", one)])


def _digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
