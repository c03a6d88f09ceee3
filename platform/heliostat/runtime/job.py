"""A job's folder: what was asked, and all that becomes of it."""

from __future__ import annotations

import fcntl
import os
import platform
import secrets
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from heliostat import spec as specs
from heliostat.runtime import job_storage, kept_code
from heliostat.runtime.home import jobs_folder, storage
from heliostat.runtime.job_logs import driver_output
from heliostat.runtime.living import still_lives
from heliostat.spec import Document, InputError, Spec
from heliostat.training.storage import read_json, write_bytes, write_json


@dataclass(frozen=True)
class Job:
    """One job: made once, opened again by `resume` and by the recorder.

    `job.json` (who, when, whence), `spec.yaml` (as given) and `resolved.json` are written when
    the job is made; `recorded.json` (its MLflow run) and `ended.json` (how it ended) later.
    """

    id: str
    folder: Path

    @classmethod
    def create(cls, document: Document, *, local: bool = False) -> Job:
        """Make the folder of a new job, under the id that a submission gave it, if one did."""
        job = cls.named(os.environ.get("HELIO_JOB_ID") or new_id(document.spec.name))
        facts = {
            "id": job.id,
            "name": document.spec.name,
            "kind": document.spec.kind,
            "file": str(document.path),
            "code": str(document.folder),
            "created": time.time(),
            "command": sys.argv,
            "local": local,
            "storage": storage() if not local and document.spec.kind in job_storage.KINDS else None,
        }
        fresh = not job.folder.exists()
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            kept_code.keep(document.folder, job.folder)
            write_bytes(job.folder / "spec.yaml", document.text.encode())
            write_json(job.folder / "resolved.json", specs.dump(document.spec))
            write_json(job.folder / "job.json", facts)
        except OSError as error:
            if fresh:
                job.discard()
            raise InputError.of(
                f"{job.folder} cannot be written: {error.strerror}",
                valid="HELIO_HOME with room for a job",
            ) from error
        return job

    @classmethod
    def named(cls, job_id: str) -> Job:
        """Return the job of this id, whether or not it was made."""
        return cls(job_id, jobs_folder() / job_id)

    @classmethod
    def open(cls, job_id: str) -> Job:
        """Return an existing job, if need be from HELIO_STORAGE; InputError if there is none."""
        job = cls.named(job_id)
        if not (job.folder / "job.json").exists() and not job_storage.fetch(job):
            places = " or ".join(map(str, filter(None, (jobs_folder(), storage()))))
            raise InputError.of(f"no job {job_id} in {places}", valid=_known())
        return job

    @property
    def facts(self) -> dict[str, Any]:
        """What `job.json` says."""
        return dict(read_json(self.folder / "job.json"))

    @property
    def spec(self) -> Spec:
        """The resolved spec."""
        return specs.parse(read_json(self.folder / "resolved.json"))

    @property
    def code(self) -> Path:
        """The folder of the spec, whose modules the user's own code is in."""
        return Path(self.facts["code"])

    @property
    def ended(self) -> dict[str, Any] | None:
        """How the job ended (`status`, `error`, `metrics`), or None while it has not.

        What was said of a driver before the one that has it now is not its end.
        """
        value: dict[str, Any] | None = read_json(self.folder / "ended.json")
        claimed = self.claimed_by
        if value is not None and claimed and value.get("driver") not in (None, claimed):
            return None
        return value

    @property
    def recorded(self) -> dict[str, Any]:
        """What MLflow made of it: `run_id`, `model`, `complete`; empty before it is there."""
        return dict(read_json(self.folder / "recorded.json") or {})

    def end(self, *, driver: int | None = None, **facts: Any) -> None:
        """Write how the job ended under `driver`: by default the one that has it now."""
        facts["driver"] = self.claimed_by if driver is None else driver
        write_json(self.folder / "ended.json", facts)
        job_storage.tell_end(self)

    def claim(self) -> None:
        """Say that this process drives the job, which has not ended.

        Raises InputError where another process of this machine does.
        """
        if self.folder not in _CLAIMED:
            lock = (self.folder / "driver.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                raise InputError.of(f"job {self.id} is running", valid="wait for its end") from None
            _CLAIMED[self.folder] = lock
            self._sweep()
        output = driver_output()
        facts = {"host": platform.node(), "pid": os.getpid(), "time": time.time()}
        facts["output"] = output and str(output)
        write_json(self.folder / "driver.json", facts)
        (self.folder / "ended.json").unlink(missing_ok=True)
        if self.recorded.get("complete"):  # up to its last end, and now it goes on
            write_json(self.folder / "recorded.json", {"run_id": self.recorded["run_id"]})

    def _sweep(self) -> None:
        """Remove the halves of files that processes of this machine left which died writing."""
        for path in self.folder.rglob(".*.tmp"):
            writer = path.name.split(".")[-2]
            if writer.isdecimal() and not psutil.pid_exists(int(writer)):
                path.unlink(missing_ok=True)

    @property
    def claimed_by(self) -> int | None:
        """The process that drives the job, or drove it last."""
        driver = read_json(self.folder / "driver.json")
        return None if driver is None else int(driver["pid"])

    @property
    def driver_output(self) -> Path | None:
        """The file with what that process has said, where Ray Jobs started it."""
        output = (read_json(self.folder / "driver.json") or {}).get("output")
        return Path(output) if output else None

    @property
    def driven(self) -> bool:
        """Whether the process that last claimed the job still lives, as far as is known."""
        driver = read_json(self.folder / "driver.json")
        if driver is None or self.ended is not None or driver["host"] != platform.node():
            return False
        return driver["pid"] != os.getpid() and still_lives(driver["pid"], driver["time"])

    def reopen(self, spec: Spec) -> None:
        """Claim an ended job, which runs again with limits that may have been raised.

        Raises InputError, with nothing changed, where another process drives it.
        """
        self.claim()
        write_json(self.folder / "resolved.json", specs.dump(spec))
        facts = self.facts
        if spec.kind == "train" and not facts.get("local") and not facts.get("storage"):
            write_json(self.folder / "job.json", {**facts, "storage": storage()})

    def discard(self) -> None:
        """Remove a job that was never begun."""
        job_storage.withdraw(self)
        shutil.rmtree(self.folder, ignore_errors=True)


_CLAIMED: dict[Path, IO[str]] = {}
"""The locks of the jobs that this process drives or drove; they go with the process."""


def new_id(name: str) -> str:
    """Return an id that says what and when, and is its own: `digits-20260131-104501-3f2a`."""
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def all_jobs() -> list[Job]:
    """Return every job of this HELIO_HOME, oldest first."""
    found = [Job(path.parent.name, path.parent) for path in jobs_folder().glob("*/job.json")]
    return sorted(found, key=lambda job: float(job.facts["created"]))


def _known() -> str:
    known = [job.id for job in all_jobs()][-5:]
    return "the last ones: " + ", ".join(known) if known else "there is none yet"
