"""The recorder: a process beside a job that ships its journal to MLflow and keeps the run true.

    python -m heliostat.runtime.recorder JOB_FOLDER --uri TRACKING_URI --driver PID

It ends when the job has ended (`ended.json`) and MLflow holds everything, or when MLflow stayed
away too long: the journal then keeps the rest for `helio sync`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from heliostat import spec as specs
from heliostat.runtime.home import home
from heliostat.runtime.job import Job
from heliostat.runtime.settling import settle_dead
from heliostat.spec import InputError
from heliostat.tracking import tags as tag
from heliostat.tracking.datasets import DatasetFacts, log_datasets
from heliostat.tracking.describe import attach, describe
from heliostat.tracking.modeling import log_and_register
from heliostat.tracking.runs import beat, finish, open_run
from heliostat.tracking.server import TrackingAway, artifact_root
from heliostat.tracking.shipper import Shipper
from heliostat.training.checkpoints import MANIFEST, existing
from heliostat.training.journal import JournalReader, Record, events, read_all
from heliostat.training.storage import SKIPPED, write_json

POLL_SECONDS = 2.0
BEAT_SECONDS = 15.0
PATIENCE_SECONDS = 60.0
"""How long after the job's end an absent MLflow is waited for."""


class Recorder:
    """Tells MLflow about one job: `open`, then `ship` as often as wanted, then `close` once."""

    def __init__(self, job: Job, uri: str) -> None:
        """Record `job` at the tracking store `uri`."""
        self._job = job
        self._uri = uri
        self._reader = JournalReader(job.folder / "journal")
        self._pending: list[Record] = []
        self._run_id = ""
        self._beat_due = 0.0
        self._shipper: Shipper | None = None

    def open(self) -> None:
        """Find or make the job's run, and say in it what the job is."""
        facts, resolved = self._job.facts, specs.dump(self._job.spec)
        objective = resolved.get("objective") or {}
        self._run_id = open_run(
            self._uri,
            experiment=resolved["experiment"],
            name=self._job.id,
            job=self._job.id,
            tags={
                tag.OBJECTIVE: objective.get("metric", ""),
                tag.GOAL: objective.get("goal", ""),
            },
            artifact_root=artifact_root(home()),
            started=facts["created"],
        )
        write_json(self._job.folder / "recorded.json", {"run_id": self._run_id})
        self._shipper = Shipper(self._uri, self._run_id, self._job.folder)
        describe(
            self._uri,
            self._run_id,
            kind=facts["kind"],
            spec_text=(self._job.folder / "spec.yaml").read_text(),
            resolved=resolved,
            command=facts["command"],
            folder=self._job.code,
        )

    def ship(self) -> int:
        """Send what the journal has gained, and a sign of life; return how many records went.

        Raises TrackingAway; what was read stays pending for the next call.
        """
        assert self._shipper is not None
        self._pending.extend(r for r in self._reader.new_records() if _is_the_jobs(r))
        self._shipper.send(self._pending)
        sent = len(self._pending)
        self._pending.clear()
        if time.monotonic() >= self._beat_due:
            beat(self._uri, self._run_id)
            self._beat_due = time.monotonic() + BEAT_SECONDS
        return sent

    def close(self, ended: dict[str, Any]) -> dict[str, Any]:
        """Send the rest, log and register the model, end the run; return `recorded.json`."""
        self.ship()
        log_datasets(self._uri, self._run_id, self._datasets())
        self._attach_manifests()
        if (skipped := self._job.folder / SKIPPED).exists():
            attach(self._uri, self._run_id, skipped)
        recorded: dict[str, Any] = {"run_id": self._run_id, "model": None}
        if ended["status"] == "FINISHED" and (self._job.folder / "model" / "model.json").exists():
            recorded.update(self._log_model(ended["metrics"]))
        error = ended.get("error") or {}
        tags = {tag.ENDED_BECAUSE: error["message"][:4000]} if error else {}
        metric = (specs.dump(self._job.spec).get("objective") or {}).get("metric", "")
        if metric in ended["metrics"]:
            tags[tag.OBJECTIVE_VALUE] = repr(ended["metrics"][metric])
        finish(self._uri, self._run_id, ended["status"], tags=tags)
        recorded["complete"] = True
        write_json(self._job.folder / "recorded.json", recorded)
        return recorded

    def _log_model(self, metrics: dict[str, float]) -> dict[str, Any]:
        resolved = specs.dump(self._job.spec)
        objective = resolved.get("objective") or {}
        value = metrics.get(objective.get("metric", ""))
        logged = log_and_register(
            self._uri,
            self._run_id,
            self._job.folder / "model",
            register=resolved.get("register"),
            objective=objective,
            value=value,
        )
        return {"model": logged.model, "alias": logged.reason}

    def _datasets(self) -> list[DatasetFacts]:
        records = read_all(self._job.folder / "journal")
        prints = {k: v for r in events(records, "fingerprints") for k, v in r["splits"].items()}
        return [
            DatasetFacts(
                context=name,
                name=Path(facts["uri"]).name,
                uri=facts["uri"],
                split=facts["split"],
                fingerprint=prints.get(name, ""),
                samples=facts["samples"],
                classes=tuple(facts["classes"]),
            )
            for record in events(records, "data")[-1:]
            for name, facts in record["splits"].items()
            if name in prints
        ]

    def _attach_manifests(self) -> None:
        for checkpoint in existing(self._job.folder / "checkpoints"):
            place = f"checkpoints/{checkpoint.folder.name}"
            attach(self._uri, self._run_id, checkpoint.folder / MANIFEST, place=place)


def record(job: Job, uri: str, *, driver_lives: Callable[[], bool]) -> bool:
    """Record the job until it has ended and all of it is told; False where MLflow stayed away."""
    recorder = Recorder(job, uri)
    give_up: float | None = None
    opened = False
    while True:
        ended = job.ended or _ended_silently(job, driver_lives)
        try:
            if not opened:
                recorder.open()
                opened = True
                settle_dead(uri)
            if ended:
                recorder.close(ended)
                return True
            recorder.ship()
        except TrackingAway as away:
            print(f"MLflow is away: {away}", flush=True)
            if ended:
                give_up = give_up or time.monotonic() + PATIENCE_SECONDS
                if time.monotonic() > give_up:
                    return False
        _wait(job, POLL_SECONDS)


def _ended_silently(job: Job, driver_lives: Callable[[], bool]) -> dict[str, Any] | None:
    """End the job where its driver is gone without a word (killed, or out of memory)."""
    if driver_lives():
        return None
    if job.ended is None:
        message = "the driver process died"
        error = {"verdict": "driver_lost", "message": message}
        job.end(status="FAILED", error=error, metrics={})
    return job.ended


def _is_the_jobs(record: Record) -> bool:
    """Whether MLflow wants it: what every rank says alike is taken from rank 0."""
    return bool(record["kind"] != "event" or record["rank"] == 0 or record["name"] == "failed")


def _wait(job: Job, seconds: float) -> None:
    """Wait, but not beyond the job's end."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and job.ended is None:
        time.sleep(0.1)


def main() -> None:
    """Run the recorder of the job folder that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--driver", type=int, required=True)
    arguments = parser.parse_args()
    # The workers come first: what MLflow shows may be a second older for it.
    os.nice(19)
    job = Job(arguments.folder.name, arguments.folder)
    driver = psutil.Process(arguments.driver) if psutil.pid_exists(arguments.driver) else None
    try:
        record(job, arguments.uri, driver_lives=lambda: driver is not None and driver.is_running())
    except InputError as error:
        write_json(job.folder / "recorded.json", {**job.recorded, "problem": str(error)})


if __name__ == "__main__":
    main()
