"""A prediction or an evaluation from its spec to its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from heliostat.data import Samples
from heliostat.runtime.batch_worker import BatchWorker, open_for
from heliostat.runtime.evaluable import check_samples, evaluable
from heliostat.runtime.events import Event, Note, Phase, Progress
from heliostat.runtime.fan_out import Range, in_process, over_actors
from heliostat.runtime.home import home
from heliostat.runtime.job import Job
from heliostat.runtime.model_files import pack_for_others
from heliostat.runtime.outcome import Failure, Outcome, Status
from heliostat.runtime.predictions import check_output, schema, writing
from heliostat.runtime.preparing import check_surroundings
from heliostat.runtime.ray_errors import how_lost
from heliostat.runtime.recording import Recording
from heliostat.runtime.registered_model import LocalModel, fetch_model
from heliostat.runtime.session import beginning, check_resources, ray_session
from heliostat.runtime.training_job import conclude
from heliostat.runtime.worker import make_importable
from heliostat.spec import Document, EvaluateSpec, InputError, PredictSpec, together
from heliostat.tracking.server import tracking_uri
from heliostat.training.judging import user_traceback, verdict
from heliostat.training.reporter import Reporter
from heliostat.training.storage import RESULT, write_json
from heliostat.vision.registered import merge

Show = Callable[[Event], None]


def run_batch(document: Document, *, local: bool, show: Show) -> Outcome:
    """Predict or evaluate to the end, over Ray actors or with `local` in this very process.

    Raises InputError, before anything is begun, for a model or data that are not there, or an
    output that is.
    """
    began = time.monotonic()
    spec = document.spec
    assert isinstance(spec, PredictSpec | EvaluateSpec)
    check_surroundings(spec, document.folder, local=local)
    make_importable(str(document.folder))
    show(Phase("fetching the model"))
    model, samples, output = open_batch(spec)
    job = Job.create(document)
    recording = Recording(job, tracking_uri(home()))
    batch = _Batch(job, spec, model, samples, show, local)
    status: Status = "FINISHED"
    failure = None
    try:
        with batch.session():
            recording.begin()
            result = predict(batch, output) if output else evaluate(batch)
            write_json(job.folder / RESULT, {**result, "model": model.uri})
    except (KeyboardInterrupt, SystemExit):
        status, failure = "KILLED", Failure("interrupted", "interrupted")
    except Exception as error:
        if isinstance(error, InputError) and not recording.begun:
            job.discard()
            raise
        status, failure = "FAILED", _failure(error)
    return conclude(job, status, failure, recording, show, began)


def open_batch(spec: PredictSpec | EvaluateSpec) -> tuple[LocalModel, Samples, Path | None]:
    """Return the model, the opened source and, of a prediction, the output's path.

    Raises InputError for all of them that cannot be had.
    """
    model: LocalModel | None = None
    output = None
    with together() as step:
        with step():
            output = check_output(spec.output) if isinstance(spec, PredictSpec) else None
        with step():
            model = fetch_model(spec.model)
            if isinstance(spec, EvaluateSpec):
                model = evaluable(model)
        with step():
            samples = open_for(model, spec)
    assert model is not None
    # What a dataset of the user's own raises is told as the worker's failure.
    if isinstance(spec, EvaluateSpec) and spec.data.dataset is None:
        check_samples(model, samples)
    return model, samples, output


@dataclass(frozen=True)
class _Batch:
    """A job's rows, what is done with them, and who watches."""

    job: Job
    spec: PredictSpec | EvaluateSpec
    model: LocalModel
    samples: Samples
    show: Show
    local: bool

    @contextmanager
    def session(self) -> Iterator[None]:
        """Give a Ray that has room for the workers; nothing for a job in this process."""
        if self.local:
            yield
            return
        self.show(Note(f"job {self.job.id}: logs in {self.job.folder / 'logs'}"))
        self.show(Phase(beginning()))
        with ray_session(self.job.folder / "logs" / "ray.log"):
            check_resources(self.spec.resources)
            yield

    def results(self, method: str) -> Iterator[Any]:
        """Yield what the workers make of each range of rows, in order, and tell the progress."""
        size, count = self.spec.batch_size, len(self.samples)
        ranges: list[Range] = [(i, min(i + size, count)) for i in range(0, count, size)]
        began = time.monotonic()
        for (_, stop), result in self._run(ranges, method):
            yield result
            pace = stop / (time.monotonic() - began)
            self.show(
                Progress(
                    step=stop,
                    total_steps=count,
                    images_per_second=pace,
                    seconds_left=(count - stop) / pace,
                )
            )

    def _run(self, ranges: list[Range], method: str) -> Iterator[tuple[Range, Any]]:
        args = (self.model, self.spec, str(self.job.code))
        if self.local:
            return in_process(ranges, lambda: BatchWorker(*args), method)
        self.show(Phase("starting workers"))
        return over_actors(
            ranges, (*args, pack_for_others(self.model)), method, self.spec.resources
        )


def predict(batch: _Batch, output: Path) -> dict[str, Any]:
    """Write a row for each input to `output`; return `metrics` and `output`."""
    import pyarrow as pa

    errors = rows = 0
    columns = schema(batch.model, batch.job.id)
    with _recorded(batch, "input") as reporter, writing(output, columns) as writer:
        for number, result in enumerate(batch.results("predict")):
            if number == 0:
                batch.show(Phase("predicting"))
            table = pa.Table.from_pydict(result, schema=columns)
            writer.write_table(table)
            rows += table.num_rows
            errors += table.num_rows - table["error"].null_count
        if rows != len(batch.samples):
            raise AssertionError(f"{rows} rows for {len(batch.samples)} inputs")
        metrics = {"predict/rows": float(rows), "predict/errors": float(errors)}
        reporter.metrics(metrics, step=0)
    if errors:
        batch.show(Note(f"{errors} of {rows} inputs could not be read; see the column `error`"))
    return {"metrics": metrics, "output": str(output)}


def evaluate(batch: _Batch) -> dict[str, Any]:
    """Evaluate the model on each sample once; return `metrics`."""
    with _recorded(batch, "test") as reporter:
        results = batch.results("evaluate")
        seen, total = next(results)
        batch.show(Phase("evaluating"))
        for count, part in results:
            seen += count
            merge(total, part)
        if seen != len(batch.samples):
            raise AssertionError(f"evaluation counted {seen} samples of {len(batch.samples)}")
        # A map of classes alone has no loss.
        figures = {name: value for name, value in total.compute().items() if not isnan(value)}
        metrics = {f"test/{name}": value for name, value in figures.items()}
        metrics["test/seen"] = float(seen)
        reporter.metrics(metrics, step=0)
        for name, image in total.pictures().items():
            reporter.picture(f"test/{name}", image, step=0)
    return {"metrics": metrics}


@contextmanager
def _recorded(batch: _Batch, context: str) -> Iterator[Reporter]:
    """Give the job's journal, which the recorder ships like a training job's."""
    samples = batch.samples
    source = batch.spec.input if isinstance(batch.spec, PredictSpec) else batch.spec.data
    reporter = Reporter(batch.job.folder, attempt=1)
    facts = {
        "uri": samples.uri,
        "split": source.split,
        "samples": len(samples),
        "classes": list(samples.classes),
    }
    reporter.event("attempt_started")
    reporter.event("data", splits={context: facts})
    try:
        yield reporter
        reporter.event("fingerprints", splits={context: samples.fingerprint})
        reporter.event("attempt_ended", why="finished")
    finally:
        reporter.close()


def _failure(error: Exception) -> Failure:
    # What an actor raised comes wrapped, with the worker's own exception as its cause.
    cause = getattr(error, "cause", None) or error
    lost = how_lost(error) if type(error).__module__.startswith("ray.") else None
    kind = lost or verdict(cause)
    if kind == "input":  # an image that cannot be read, met on the way
        kind = "data"
    return Failure(kind, user_traceback(cause) if kind == "user_code" else str(cause).strip())
