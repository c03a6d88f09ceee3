"""What the recorder tells MLflow of a search: its own run, and a nested run for each trial.

The search's own run is a job's like any other: the driver trains nothing itself, but it evaluates
and packages the best trial in the search's folder. The trials come from the ledger and from
their journals.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heliostat import spec as specs
from heliostat.runtime.job import Job
from heliostat.runtime.job_recorder import JobRecorder
from heliostat.runtime.trial_book import TrialBook
from heliostat.runtime.trial_folders import trial_folder
from heliostat.spec import TuneSpec
from heliostat.tracking import tags as tag
from heliostat.tracking.describe import as_yaml
from heliostat.tracking.runs import beat
from heliostat.tracking.trial_facts import Aim, TrialFacts
from heliostat.tracking.trial_runs import TrialRuns
from heliostat.tracking.trial_table import store_trials
from heliostat.training.checkpoints import existing
from heliostat.training.journal import JournalReader, Record
from heliostat.training.storage import read_json
from heliostat.training.verifying import MANIFEST

TABLE_SECONDS = 10.0
PICTURES_SECONDS = 60.0
"""The table and the pictures are made anew no oftener than this while the search runs."""
_SHARE = 0.02  # of the time, that the table may take: its cost grows with the number of trials
_GROWTH = 1.5  # trials ended since the last pictures, as a factor: they are drawn log(n) times


@dataclass
class _Following:
    """A trial's journal, and what was read of it and not sent."""

    reader: JournalReader
    pending: list[Record] = field(default_factory=list)


class SearchRecorder:
    """Tells MLflow about one search: `open`, then `ship` as often as wanted, then `close` once.

    A trial that MLflow holds whole is not told again, nor its journal read.
    """

    def __init__(self, job: Job, uri: str) -> None:
        """Record `job` at the tracking store `uri`."""
        self._job = job
        self._uri = uri
        self._parent = JobRecorder(job, uri)
        spec = job.spec
        assert isinstance(spec, TuneSpec)
        self._aims = [Aim(goal.metric, goal.goal) for goal in spec.goals]
        self._spaces: dict[str, Any] = specs.dump(spec)["search"]
        self._book = TrialBook(job.folder)
        self._journals: dict[int, _Following] = {}
        self._killed: dict[int, TrialFacts] = {}
        self._best: float | None = None
        self._table_due = time.monotonic() + TABLE_SECONDS
        self._tabled = -1
        self._pictures_due = time.monotonic() + PICTURES_SECONDS
        self._drawn = 0

    def open(self) -> None:
        """Find or make the search's run, and say in it what the search is."""
        self._parent.open()
        self._runs = TrialRuns(
            self._uri,
            self._parent.run_id,
            job=self._job.id,
            objective=self._aims[0].metric,
            goal=self._aims[0].goal,
        )

    def ship(self) -> int:
        """Send what the ledger and the journals have gained; return how many records went.

        Raises TrackingAway; what was read stays pending for the next call.
        """
        self._book.read()
        sent = sum(map(self._ship_trial, sorted({*self._book.changed, *self._book.running})))
        sent += self._ship_points()
        if time.monotonic() >= self._table_due and self._tabled != self._book.newest:
            self._store_table()
        grown = self._book.ended >= max(2, _GROWTH * self._drawn)
        if grown and time.monotonic() >= self._pictures_due:
            self._send_pictures()
        return sent

    def close(self, ended: dict[str, Any]) -> dict[str, Any]:
        """Send the rest, end all runs, the search's own last; return `recorded.json`."""
        self._book.read()
        self._kill_the_unended(ended)
        self.ship()
        self._store_table()
        self._send_pictures()
        best = self._book.best
        value = {tag.OBJECTIVE_VALUE: repr(best.objectives[0])} if best else {}
        return self._parent.close(ended, tags=value)

    def _kill_the_unended(self, ended: dict[str, Any]) -> None:
        """Take note that nobody trains what the ledger leaves open."""
        reason = (ended.get("error") or {}).get("message", "the search ended")
        for number in self._book.unended:
            self._killed[number] = replace(
                self._book.facts(number), status="KILLED", ended=self._book.newest, reason=reason
            )
            self._book.changed.add(number)

    def _ship_trial(self, number: int) -> int:
        facts = self._facts(number)
        over = facts.ended is not None
        if over and number not in self._journals and self._runs.complete(facts):
            self._book.changed.discard(number)
            return 0
        folder = trial_folder(self._job.folder, number)
        if number not in self._journals:
            self._journals[number] = _Following(JournalReader(folder / "journal"))
        following = self._journals[number]
        records = following.reader.new_records()
        following.pending += [record for record in records if record["kind"] == "metric"]
        if not following.pending and number not in self._book.changed:
            return 0
        sent = len(following.pending)
        self._runs.tell(facts, following.pending, _files(folder) if over else {})
        following.pending.clear()
        self._book.changed.discard(number)
        if over:
            del self._journals[number]
        return sent

    def _ship_points(self) -> int:
        # The job's recorder keeps what it was given until it is sent.
        points, self._book.points = self._book.points, []
        sent = self._parent.ship(points)
        best = self._book.best
        if best is not None and best.objectives[0] != self._best:
            beat(self._uri, self._parent.run_id, {tag.OBJECTIVE_VALUE: repr(best.objectives[0])})
            self._best = best.objectives[0]
        return sent

    def _store_table(self) -> None:
        began = time.monotonic()
        facts = [self._facts(number) for number in self._book.begun]
        metrics = [aim.metric for aim in self._aims]
        keys = list(self._spaces)
        store_trials(
            self._uri, self._parent.run_id, facts, self._runs.run_ids(), metrics=metrics, keys=keys
        )
        now = time.monotonic()
        self._tabled = self._book.newest
        self._table_due = now + max(TABLE_SECONDS, (now - began) / _SHARE)

    def _send_pictures(self) -> None:
        from heliostat.tracking.search_pictures import draw_search  # deferred: matplotlib, optuna

        pictures = draw_search(
            [self._facts(number) for number in self._book.begun],
            aims=self._aims,
            spaces=self._spaces,
            rungs=sorted(self._book.rungs),
        )
        records = []
        for name, picture in pictures.items():
            path = Path("pictures", "search", f"{name}-{self._book.ended:08d}.png")
            (self._job.folder / path).parent.mkdir(parents=True, exist_ok=True)
            picture.save(self._job.folder / path)
            place = {"name": f"search/{name}", "step": self._book.ended, "path": path.as_posix()}
            records.append({"kind": "picture", **place, "time": self._book.newest})
        self._parent.ship(records)
        self._drawn = self._book.ended
        self._pictures_due = time.monotonic() + PICTURES_SECONDS

    def _facts(self, number: int) -> TrialFacts:
        return self._killed.get(number) or self._book.facts(number)


def _files(trial: Path) -> dict[str, str]:
    """Return a trial's artifacts: its whole spec, and the manifests of its checkpoints.

    Those of checkpoints that the search has removed since are in `manifests/`.
    """
    files = {}
    resolved = read_json(trial / "resolved.json")
    if resolved is not None:
        files["resolved.yaml"] = as_yaml(resolved)
    for checkpoint in existing(trial / "checkpoints"):
        place = f"checkpoints/{checkpoint.folder.name}/{MANIFEST}"
        with suppress(FileNotFoundError):  # the search removes checkpoints meanwhile
            files[place] = (checkpoint.folder / MANIFEST).read_text()
    for manifest in sorted(trial.glob("manifests/*.json")):
        files[f"checkpoints/{manifest.stem}/{MANIFEST}"] = manifest.read_text()
    return files
