"""What a job's folder says of it, as events for whoever watches."""

from __future__ import annotations

from collections.abc import Callable

from heliostat.runtime.events import Event, Note, Phase, Progress
from heliostat.runtime.job import Job
from heliostat.training.journal import JournalReader, Record
from heliostat.training.reporter import PROGRESS
from heliostat.training.storage import read_json

_PHASES = {"attempt_started": "loading data", "data": "building the model"}


class Watcher:
    """Reads a job's journal and progress as they grow; `poll` is cheap enough for 10 Hz."""

    def __init__(
        self, job: Job, show: Callable[[Event], None], *, began: Callable[[], None] = lambda: None
    ) -> None:
        """Tell `show`; call `began` once, when the first optimizer step is done."""
        self._job = job
        self._show = show
        self._began = began
        self._reader = JournalReader(job.folder / "journal")
        self._progress: object = None
        self._phase = ""

    def poll(self) -> None:
        """Tell what is new."""
        for record in self._reader.new_records():
            if record["kind"] == "event" and record["rank"] == 0:
                self._event(record)
        progress = read_json(self._job.folder / PROGRESS)
        if progress is not None and progress != self._progress:
            self._progress = progress
            self._tell_progress(dict(progress))

    def _event(self, record: Record) -> None:
        name = record["name"]
        if name in _PHASES:
            self._enter(_PHASES[name])
            self._tell_left_out(record)
        elif name == "order":
            self._show(Note(f"samples are shuffled {record['shuffling']}"))
        elif name == "weights":
            self._show(Note(f"weights: {record['said']}"))
        elif name == "first_step":
            self._began()
            self._enter("training")
        elif name == "restored":
            self._show(Note(f"going on from step {record['step']} ({record['checkpoint']})"))
        elif name == "storage_away":
            self._show(Note(f"the job's storage was away for rank 0: {record['reason']}"))
        elif name == "unsaved":
            self._show(
                Note(
                    f"{record['what']} cannot be saved: {record['reason']}; training goes on and it"
                    f" is tried again, for {record['limit'] / 60:g} minutes at most"
                )
            )
        elif name == "saved_again":
            self._show(Note(f"{record['what']} is saved, after {record['seconds']:.0f} s"))
        elif name == "checkpoint_skipped":
            self._show(Note(f"passed over a checkpoint: {record['reason']}"))
        elif name == "model_exported" and record["packaged"] == "code":
            self._show(Note(f"the model is packaged as code, not as a graph: {record['reason']}"))
        elif name == "model_exported" and record["packaged"] == "nothing":
            self._show(Note(f"the model could not be packaged: {record['reason']}"))

    def _tell_left_out(self, record: Record) -> None:
        for split, facts in record.get("splits", {}).items():
            if facts.get("skipped"):
                whole = facts["skipped"] + facts["samples"]
                left_out = f"{split}: {facts['skipped']:,} of {whole:,} samples cannot be read"
                self._show(Note(f"{left_out} and are left out (skipped-samples.csv lists them)"))

    def _tell_progress(self, progress: dict[str, object]) -> None:
        self._enter(str(progress.pop("phase", "training")))
        if "total_steps" in progress:
            self._show(Progress(**progress))  # type: ignore[arg-type]

    def _enter(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            self._show(Phase(phase))
