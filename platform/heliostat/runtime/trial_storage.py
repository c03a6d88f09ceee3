"""A search's trials in its storage, where its legs run on other machines than its driver."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime.collecting import Collector
from heliostat.runtime.home import models_folder
from heliostat.runtime.job import Job
from heliostat.runtime.job_storage import MODELS, STOP_SIGN, mark_attempt
from heliostat.runtime.model_files import put_models
from heliostat.training.storage_away import AWAY, patiently

if TYPE_CHECKING:
    from heliostat.training.mirrored_checkpoints import MirroredCheckpoints


class TrialStorage:
    """What the driver does of a search whose folders lie in storage.

    A folder of the search's own (`job.folder`) or of a trial has its place there under the name
    that it has in `job.folder`. All methods raise StorageAway.
    """

    def __init__(self, job: Job, collector: Collector) -> None:
        """Work in the job's place in the storage, which `collector` brings into its folder."""
        self._job = job
        self._store = collector.store
        self._collector = collector

    def for_workers(self, spec: dict[str, Any], folder: Path, attempt: int) -> dict[str, Any]:
        """Return where the workers of an attempt in `folder` write: `place_of`'s config."""
        name = self._name(folder)
        mark_attempt(folder, self._store, f"{name}/" if name else "", attempt)
        root = self._job.facts["storage"]
        models = {"uri": f"{root}/{MODELS}", "here": str(models_folder())}
        put_models(spec, models)
        scratch = f"{self._job.id}-{name.replace('/', '-')}" if name else self._job.id
        storage = {"uri": self._uri(folder), "job": scratch, "stop": self._store.uri}
        return {"storage": storage, "models": models}

    def for_finish(self, trial: Path) -> dict[str, str]:
        """Return where the worker that finishes a trial finds it."""
        return {"trial": self._uri(trial)}

    def take(self, folder: Path) -> None:
        """Return when all that the workers wrote in `folder` is here, but for checkpoints."""
        name = self._name(folder)
        self._collector.complete(f"{name}/" if name else "")

    def stop(self) -> None:
        """Tell the running legs to end."""
        patiently(partial(self._store.write, STOP_SIGN, b""))

    def before_clone(self, source: Path, trial: Path) -> MirroredCheckpoints:
        """Bring the source's checkpoints here; return the trial's in the storage."""
        from heliostat.training.checkpoints import existing

        theirs, ours = self._checkpoints(source), self._checkpoints(trial)
        for each in (theirs, ours):
            patiently(each.fetch_manifests)
        for checkpoint in existing(source / "checkpoints"):
            patiently(partial(theirs.fetch_files, checkpoint.folder))
        return ours

    def after_clone(self, ours: MirroredCheckpoints) -> None:
        """Make the trial's checkpoints in the storage those that it has here."""
        patiently(lambda: ours.upload(ours.manifests()))

    def tidy(self, trial: Path) -> None:
        """Remove what is large of a trial that is over; what stays is no harm."""
        with suppress(*AWAY):
            names = [self._name(trial) + part for part in ("/checkpoints/", "/model/")]
            self._store.delete(each for name in names for each in self._store.entries(name))

    def _checkpoints(self, folder: Path) -> MirroredCheckpoints:
        from heliostat.data.stores import open_store
        from heliostat.training.mirrored_checkpoints import MirroredCheckpoints

        return MirroredCheckpoints(folder / "checkpoints", open_store(self._uri(folder)))

    def _uri(self, folder: Path) -> str:
        name = self._name(folder)
        return f"{self._store.uri}/{name}" if name else self._store.uri

    def _name(self, folder: Path) -> str:
        name = folder.relative_to(self._job.folder).as_posix()
        return "" if name == "." else name
