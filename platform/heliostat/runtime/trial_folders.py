"""The folders of a search's trials: made, cloned, and tidied when a trial is over."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from heliostat.runtime.trial_storage import TrialStorage
from heliostat.search.legs import Leg
from heliostat.search.search import Search
from heliostat.search.trials import ENDED
from heliostat.spec import TuneSpec
from heliostat.training.storage import read_json, write_bytes, write_json

_CLONED = "clone.json"


def trial_folder(job: Path, number: int) -> Path:
    """Return the folder of a trial of the search in the folder `job`."""
    return job / "trials" / f"{number:04d}"


class TrialFolders:
    """`trials/0007` and its like in a search's folder, each with what a job's folder holds."""

    def __init__(
        self, job: Path, spec: TuneSpec, search: Search, storage: TrialStorage | None = None
    ) -> None:
        """Look after the folders of the search in the folder `job`, and those in its storage."""
        self._job = job
        self._storage = storage
        self._search = search
        self._maximize = spec.goals[0].goal == "maximize"
        # Several goals have several best trials; PBT's go on from one another; and more than one
        # best checkpoint is asked for by those who want more than one best trial.
        several = len(spec.goals) > 1 or spec.train.checkpoint.keep_best > 1
        self._keeps_all = several or spec.scheduler.name == "pbt"
        self._untidied = {n for n, trial in search.trials.items() if trial.status != "FAILED"}

    def of(self, number: int) -> Path:
        """Return the folder of a trial."""
        return trial_folder(self._job, number)

    def make(self, number: int) -> Path:
        """Return the folder of a trial, which is there then."""
        folder = self.of(number)
        folder.mkdir(parents=True, exist_ok=True)
        self._untidied.add(number)
        return folder

    def clone(self, leg: Leg, attempt: int) -> None:
        """Let the trial go on from another one's checkpoint; once, however often it is asked.

        Raises FileNotFoundError where that one has none.
        """
        from heliostat.training.legs import clone_checkpoint  # deferred: torch

        assert leg.clone is not None
        folder = self.of(leg.trial)
        this = {"trial": leg.clone.trial, "step": leg.clone.step, "until": leg.until}
        if read_json(folder / _CLONED) != this:
            source = self.of(leg.clone.trial)
            stored = self._storage.before_clone(source, folder) if self._storage else None
            clone_checkpoint(
                source, leg.clone.step, folder, attempt=attempt, maximize=self._maximize
            )
            if self._storage is not None and stored is not None:
                self._storage.after_clone(stored)
            write_json(folder / _CLONED, this)

    def tidy(self) -> None:
        """Remove the checkpoints of the trials that are over, but for the best.

        While the best one still runs it may fail, and the next best be wanted; and what the
        search's end has ended, a resumed search goes on with.
        """
        best = self._search.best
        over = self._search.done or self._search.stopped is not None
        if self._keeps_all or over or best is None or best.status not in ENDED:
            return
        trials = self._search.trials
        for number in [n for n in self._untidied if trials[n].status in ENDED]:
            if number != best.number:
                _tidy(self.of(number))
                if self._storage is not None:
                    self._storage.tidy(self.of(number))
                self._untidied.discard(number)


def _tidy(trial: Path) -> None:
    """Remove what is large, but for the checkpoints' manifests, which are yet to be recorded."""
    from heliostat.training.checkpoints import existing  # deferred: torch
    from heliostat.training.verifying import MANIFEST

    for checkpoint in existing(trial / "checkpoints"):
        kept = trial / "manifests" / f"{checkpoint.folder.name}.json"
        kept.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            write_bytes(kept, (checkpoint.folder / MANIFEST).read_bytes())
    for name in ("checkpoints", "model", "ray"):
        shutil.rmtree(trial / name, ignore_errors=True)
