"""A search's trials in MLflow: a nested run each, made and ended in as few calls as will do."""

from __future__ import annotations

import getpass
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.describe import parameters
from heliostat.tracking.metric_rows import MetricRows, Record
from heliostat.tracking.runs import search
from heliostat.tracking.server import TrackingAway
from heliostat.tracking.trial_facts import TrialFacts

TRIAL_KIND = "trial"
"""The `heliostat.kind` of a trial's run."""

# MLflow's own statuses say neither PAUSED nor PRUNED: the tag heliostat.trial_status does.
_MLFLOW_STATUS = {
    "WAITING": "SCHEDULED",
    "PAUSED": "SCHEDULED",
    "RUNNING": "RUNNING",
    "FINISHED": "FINISHED",
    "PRUNED": "FINISHED",
    "FAILED": "FAILED",
    "KILLED": "KILLED",
}
_OVER = ("FINISHED", "FAILED", "KILLED")
_TAKEN_BACK = (tag.ENDED_BECAUSE, tag.TRIAL_ENDED)


@dataclass
class _Held:
    """What MLflow holds of one trial."""

    run_id: str
    status: str
    tags: dict[str, str]
    params: set[str] = field(default_factory=set)


class TrialRuns:
    """The nested runs of one search's run.

    Telling the same again changes nothing, also from a new process. After TrackingAway, tell the
    same again: what had gone through is found by its tags and not made a second time.
    """

    def __init__(self, uri: str, parent: str, *, job: str, objective: str, goal: str) -> None:
        """Keep where to tell, the search's run and job, and its first objective."""
        self._uri = uri
        self._parent = parent
        self._job = job
        self._same = {
            tag.PARENT: parent,
            tag.JOB: job,
            tag.KIND: TRIAL_KIND,
            tag.OBJECTIVE: objective,
            tag.GOAL: goal,
        }
        self._experiment, self._begun = "", 0
        self._held: dict[int, _Held] | None = None
        self._rows: dict[int, MetricRows] = {}

    def complete(self, facts: TrialFacts) -> bool:
        """Whether MLflow holds this trial, which is over, whole. Raises TrackingAway."""
        with reaching(self._uri):
            held = self._loaded(connect(self._uri)).get(facts.number)
        return held is not None and held.status in _OVER and _stamp(held.tags) == facts.ended

    def tell(
        self,
        facts: TrialFacts,
        records: Iterable[Record] = (),
        files: Mapping[str, str] | None = None,
    ) -> str:
        """Make the trial's run say `facts`; return its id.

        Args:
            facts: the trial as it is now. Searched values become parameters, which never change:
                those of a trial that changed its values later are in `heliostat.trial_values`.
            records: `metric` records of the trial's journal, from its start on and in its order.
            files: artifacts, path → text; for a trial that is over.

        Raises:
            TrackingAway: MLflow can't be reached.
        """
        try:
            with reaching(self._uri):
                return self._tell(connect(self._uri), facts, records, files or {})
        except TrackingAway:
            self._held = None  # what went through before is looked up
            raise

    def run_ids(self) -> dict[int, str]:
        """Return the run of each trial that was told by now, or held by MLflow."""
        return {number: held.run_id for number, held in (self._held or {}).items()}

    def _tell(
        self,
        client: MlflowClient,
        facts: TrialFacts,
        records: Iterable[Record],
        files: Mapping[str, str],
    ) -> str:
        runs = self._loaded(client)
        if facts.number not in runs:
            runs[facts.number] = self._create(client, facts)
        held = runs[facts.number]
        self._log(client, held, facts, records)
        if files:
            _store(client, held.run_id, files)
        status = _MLFLOW_STATUS[facts.status]
        if status != held.status:
            # Last: a run with a terminal status is complete.
            if status in _OVER:
                client.set_terminated(held.run_id, status, end_time=facts.ended)
            else:
                client.update_run(held.run_id, status=status)
            held.status = status
        return held.run_id

    def _log(
        self, client: MlflowClient, held: _Held, facts: TrialFacts, records: Iterable[Record]
    ) -> None:
        rows = self._rows.setdefault(facts.number, MetricRows())
        metrics = rows.unsent(records)
        given, now = parameters(_flat(facts.values)), _tags(facts)
        params = [Param(key, value) for key, value in given.items() if key not in held.params]
        tags = {key: value for key, value in now.items() if held.tags.get(key) != value}
        gone = [key for key in _TAKEN_BACK if key in held.tags and key not in now]
        for key in gone:
            client.delete_tag(held.run_id, key)
            del held.tags[key]
        if metrics or params or tags:
            labels = [RunTag(key, value) for key, value in tags.items()]
            client.log_batch(held.run_id, metrics, params, labels, synchronous=True)
        rows.sent(metrics)
        held.params |= given.keys()
        held.tags |= tags

    def _create(self, client: MlflowClient, facts: TrialFacts) -> _Held:
        tags = {**self._same, **_tags(facts)}
        run = client.create_run(
            self._experiment,
            # `open_run` knows a search's own run by its being the job's first.
            start_time=max(facts.started, self._begun + 1),
            tags={**tags, tag.TRIAL: str(facts.number), "mlflow.user": getpass.getuser()},
            run_name=f"trial {facts.number:04d}",
        )
        return _Held(str(run.info.run_id), "RUNNING", tags)

    def _loaded(self, client: MlflowClient) -> dict[int, _Held]:
        if self._held is None:
            parent = client.get_run(self._parent).info
            self._experiment, self._begun = parent.experiment_id, parent.start_time
            found = {int(r.data.tags[tag.TRIAL]): r for r in find_trials(client, self._job)}
            for number, run in found.items():
                self._rows.setdefault(number, MetricRows()).hold(run)
            self._held = {number: _held(run) for number, run in found.items()}
        return self._held


def find_trials(client: MlflowClient, job: str) -> list[Run]:
    """Return the runs of the trials of the search `job`, by number."""
    found = search(client, f"tags.`{tag.JOB}` = '{job}' AND tags.`{tag.TRIAL}` LIKE '%'")
    return sorted(found, key=lambda run: int(run.data.tags[tag.TRIAL]))


def _held(run: Run) -> _Held:
    return _Held(run.info.run_id, run.info.status, dict(run.data.tags), set(run.data.params))


def _stamp(tags: Mapping[str, str]) -> int | None:
    return int(tags[tag.TRIAL_ENDED]) if tag.TRIAL_ENDED in tags else None


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter's value for each searched key, whatever its value: mappings, and null."""
    return {
        key: json.dumps(value) if value is None or isinstance(value, Mapping) else value
        for key, value in values.items()
    }


def _tags(facts: TrialFacts) -> dict[str, str]:
    words = {
        tag.TRIAL_STATUS: facts.status,
        tag.TRIAL_VALUES: json.dumps(dict(facts.values)),
        tag.TRIAL_EPOCH: str(facts.epoch),
        tag.TRIAL_SECONDS: f"{facts.seconds:.3f}",
    }
    if facts.objectives:
        words[tag.OBJECTIVE_VALUE] = repr(facts.objectives[0])
    if len(facts.objectives) > 1:
        words[tag.TRIAL_OBJECTIVES] = json.dumps(facts.objectives)
    if facts.lineage:
        words[tag.TRIAL_LINEAGE] = json.dumps([dict(each) for each in facts.lineage])
    if facts.reason:
        words[tag.ENDED_BECAUSE] = facts.reason[:4000]
    if facts.ended is not None:
        words[tag.TRIAL_ENDED] = str(facts.ended)
    # What is JSON is of no use cut: it is left out where a server could not take it.
    return {key: value for key, value in words.items() if len(value) <= MAX_TAG_VAL_LENGTH}


def _store(client: MlflowClient, run_id: str, files: Mapping[str, str]) -> None:
    """Store the texts as artifacts, in one call."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            place = Path(folder, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        client.log_artifacts(run_id, folder)
