"""What the recorder tells MLflow of a job: its run, from the job's folder and its journal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from heliostat import spec as specs
from heliostat.runtime import job_logs
from heliostat.runtime.goodput import goodput_of
from heliostat.runtime.home import home
from heliostat.runtime.job import Job
from heliostat.runtime.retrying import HALVED
from heliostat.spec import Spec, TuneSpec
from heliostat.tracking import tags as tag
from heliostat.tracking.datasets import DatasetFacts, log_datasets
from heliostat.tracking.describe import attach, describe
from heliostat.tracking.kept_logs import LOGS
from heliostat.tracking.modeling import log_and_register
from heliostat.tracking.runs import beat, finish, open_run
from heliostat.tracking.server import artifact_root
from heliostat.tracking.shipper import Shipper
from heliostat.training.checkpoints import existing
from heliostat.training.journal import JournalReader, Record, events, read_all
from heliostat.training.stalling import STALLED
from heliostat.training.storage import SKIPPED, write_json
from heliostat.training.verifying import MANIFEST

BEAT_SECONDS = 15.0


class JobRecorder:
    """Tells MLflow about one job: `open`, then `ship` as often as wanted, then `close` once."""

    def __init__(self, job: Job, uri: str) -> None:
        """Record `job` at the tracking store `uri`."""
        self._job = job
        self._uri = uri
        self._reader = JournalReader(job.folder / "journal")
        self._pending: list[Record] = []
        self.run_id = ""
        """The job's run, once it was opened."""
        self._beat_due = 0.0
        self._shipper: Shipper | None = None

    def open(self) -> None:
        """Find or make the job's run, and say in it what the job is."""
        facts, spec = self._job.facts, self._job.spec
        resolved, objective = specs.dump(spec), _objective(spec)
        self.run_id = open_run(
            self._uri,
            experiment=resolved["experiment"],
            name=self._job.id,
            job=self._job.id,
            tags={
                tag.KIND: facts["kind"],
                tag.OBJECTIVE: objective.get("metric", ""),
                tag.GOAL: objective.get("goal", ""),
            },
            artifact_root=artifact_root(home()),
            started=facts["created"],
        )
        write_json(self._job.folder / "recorded.json", {"run_id": self.run_id})
        self._shipper = Shipper(self._uri, self.run_id, self._job.folder)
        describe(
            self._uri,
            self.run_id,
            kind=facts["kind"],
            spec_text=(self._job.folder / "spec.yaml").read_text(),
            resolved=resolved,
            command=facts["command"],
            folder=self._job.code,
        )

    def ship(self, more: Iterable[Record] = (), *, over: bool = False) -> int:
        """Send what the journal has gained, and a sign of life; return how many records went.

        `more` are records from elsewhere, sent with it; `over`: the job has ended. Raises
        TrackingAway; what was read or given stays pending for the next call.
        """
        assert self._shipper is not None
        self._pending.extend(r for r in self._reader.new_records() if _is_the_jobs(r))
        self._pending.extend(more)
        self._shipper.send(self._pending, over=over)
        sent = len(self._pending)
        self._pending.clear()
        if time.monotonic() >= self._beat_due:
            beat(self._uri, self.run_id)
            self._beat_due = time.monotonic() + BEAT_SECONDS
        return sent

    def close(self, ended: dict[str, Any], tags: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Send the rest, log and register the model, end the run; return `recorded.json`.

        `tags` are said of the run unless `ended` knows better.
        """
        goodput = goodput_of(read_all(self._job.folder / "journal"))
        self.ship(goodput.records() if goodput else (), over=True)
        log_datasets(self._uri, self.run_id, self._datasets())
        self._attach_manifests()
        if (skipped := self._job.folder / SKIPPED).exists():
            attach(self._uri, self.run_id, skipped)
        recorded: dict[str, Any] = {"run_id": self.run_id, "model": None}
        if ended["status"] == "FINISHED" and (self._job.folder / "model" / "model.json").exists():
            recorded.update(self._log_model(ended["metrics"]))
        error = ended.get("error") or {}
        words = dict(tags or {})
        if error:
            words[tag.ENDED_BECAUSE] = error["message"][:4000]
            words[tag.VERDICT] = error["verdict"]
        metric = _objective(self._job.spec).get("metric", "")
        if metric in ended["metrics"]:
            words[tag.OBJECTIVE_VALUE] = repr(ended["metrics"][metric])
        for event in events(read_all(self._job.folder / "journal"), HALVED)[-1:]:
            words[tag.ACCUMULATE] = str(event["accumulate"])
        self._attach_logs()
        finish(self._uri, self.run_id, ended["status"], tags=words)
        recorded["complete"] = True
        write_json(self._job.folder / "recorded.json", recorded)
        return recorded

    def _log_model(self, metrics: dict[str, float]) -> dict[str, Any]:
        spec = self._job.spec
        objective = _objective(spec)
        value = metrics.get(objective.get("metric", ""))
        logged = log_and_register(
            self._uri,
            self.run_id,
            self._job.folder / "model",
            register=_registration(spec),
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

    def _attach_logs(self) -> None:
        logs = self._job.folder / "logs"
        output = self._job.driver_output
        if output is not None:
            job_logs.keep_driver_output(self._job.id, output, logs)
        with job_logs.kept(logs) as files:
            for file in files:
                attach(self._uri, self.run_id, file, place=LOGS)

    def _attach_manifests(self) -> None:
        for checkpoint in existing(self._job.folder / "checkpoints"):
            place = f"checkpoints/{checkpoint.folder.name}"
            attach(self._uri, self.run_id, checkpoint.folder / MANIFEST, place=place)


def _objective(spec: Spec) -> dict[str, Any]:
    """Return what the job's model is judged by, {metric, goal}; empty where nothing does."""
    goals = spec.goals[:1] if isinstance(spec, TuneSpec) else [getattr(spec, "objective", None)]
    return goals[0].model_dump(mode="json") if goals and goals[0] else {}


def _registration(spec: Spec) -> dict[str, Any] | None:
    register = spec.registration if isinstance(spec, TuneSpec) else getattr(spec, "register", None)
    return register.model_dump(mode="json") if register else None


def _is_the_jobs(record: Record) -> bool:
    """Whether MLflow wants it: what every rank says alike is taken from rank 0."""
    ours = record["kind"] != "event" or record["rank"] in (0, None)
    return bool(ours or record["name"] in ("failed", STALLED))
