"""One training process from its first line to its last, whoever started it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from heliostat.data.contact_sheet import sheet_of_samples
from heliostat.spec import DataSpec, EntrypointSpec, InputError, TrainSpec
from heliostat.training.context import Context
from heliostat.training.custom import run_entrypoint, set_up_own
from heliostat.training.fence import Superseded
from heliostat.training.host_memory import keep_freed_memory
from heliostat.training.judging import user_traceback, verdict
from heliostat.training.loop import fit
from heliostat.training.package import package
from heliostat.training.setup import DataSets, Setup, set_up
from heliostat.training.storage import RESULT, SKIPPED, write_json
from heliostat.training.storage_away import StorageAway
from heliostat.training.system_metrics import sampling
from heliostat.training.unsaved import MODEL, persist
from heliostat.training.watchdog import watched


def train(spec: TrainSpec | EntrypointSpec, context: Context, *, code: Path) -> None:
    """Train, and leave `result.json` and `model/` in the job's folder.

    `code` is the folder that holds the user's modules. What goes wrong is told to the journal
    (rank, verdict, traceback) and raised.
    """
    reporter = context.reporter
    begin_attempt(context)
    with told_to_journal(context), sampling(context), watched(context, spec.stall):
        if isinstance(spec, EntrypointSpec):
            metrics = _train_own(spec, context)
        else:
            metrics = _train_spec(spec, context, code)
        if context.is_main:
            keep_result(context, metrics)
            reporter.event("attempt_ended", why="finished")
    reporter.close()


def keep_result(context: Context, metrics: dict[str, float]) -> None:
    """Write `result.json`, as soon as there is room for it."""
    file = context.folder / RESULT
    write = partial(write_json, file, {"metrics": metrics})
    persist(write, context.reporter.unsaved, "the result", file)


def _train_own(spec: EntrypointSpec, context: Context) -> dict[str, float]:
    reporter = context.reporter
    data = set_up_own(spec)
    if context.is_main and spec.data is not None and data is not None:
        reporter.event("data", splits=_data_facts(spec.data, data))
    keep_freed_memory(context.device)
    metrics = run_entrypoint(spec, context, data)
    if context.is_main and data is not None:
        reporter.event("fingerprints", splits=_fingerprints(data))
    return metrics


def _train_spec(spec: TrainSpec, context: Context, code: Path) -> dict[str, float]:
    reporter = context.reporter
    setup = set_up(spec)
    tell_data(spec, setup, context)
    if context.is_main and setup.begun_with is not None:
        reporter.event("weights", said=setup.begun_with)
    keep_freed_memory(context.device)
    metrics = fit(spec, setup, context)
    if context.is_main:
        reporter.progress(phase="packaging the model")
    with context.stopwatch.during("packaged"):
        hand_over(spec, setup, context, code)
    return metrics


def begin_attempt(context: Context, **facts: Any) -> None:
    """Tell the journal that an attempt begins: rank 0 only."""
    if context.is_main:
        device = str(context.device)
        context.reporter.event(
            "attempt_started", world_size=context.world_size, device=device, **facts
        )


def tell_data(spec: TrainSpec, setup: Setup, context: Context) -> None:
    """Tell the journal what is trained on, and what of it was left out: rank 0 only."""
    if context.is_main:
        context.reporter.event("data", splits=_data_facts(spec.data, setup.data))
        _report_skipped(setup.data, context)


def hand_over(spec: TrainSpec, setup: Setup, context: Context, code: Path) -> None:
    """Package the model, draw the data, and tell the data's fingerprints: rank 0 only."""
    if not context.is_main:
        return
    persist(
        lambda: package(spec, setup, context, code),
        context.reporter.unsaved,
        MODEL,
        context.folder / "model",
    )
    sheet = sheet_of_samples(setup.data.train, "train")
    if sheet is not None:
        context.reporter.picture("data/train", sheet, step=0)
    # Fingerprints read all of the data, so they come when training no longer waits for them.
    context.reporter.event("fingerprints", splits=_fingerprints(setup.data))


def _data_facts(spec: DataSpec, data: DataSets) -> dict[str, Any]:
    splits = {}
    for name, samples in data.splits().items():
        source = getattr(spec, name)
        splits[name] = {
            "uri": samples.uri,
            "split": source.split,
            "samples": len(samples),
            "skipped": len(samples.skipped),
            "classes": list(samples.classes),
        }
    return splits


def _report_skipped(data: DataSets, context: Context) -> None:
    """Record which samples `on_error: skip` left out: a count a split, and a list of them all."""
    rows = [(name, *row) for name, samples in data.splits().items() for row in samples.skipped]
    if rows:
        counts = {f"data/{name}_skipped": len(s.skipped) for name, s in data.splits().items()}
        context.reporter.metrics(counts, step=0)
        with (context.folder / SKIPPED).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("split", "sample", "why"), *rows])


def _fingerprints(data: DataSets) -> dict[str, str]:
    return {name: samples.fingerprint for name, samples in data.splits().items()}


@contextmanager
def told_to_journal(context: Context) -> Iterator[None]:
    """Tell the journal why the attempt failed, if it does: rank, verdict, traceback."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, InputError):
            problems = [
                {"message": p.message, "key": p.key, "valid": p.valid} for p in error.problems
            ]
        else:
            problems = []
        context.reporter.event(
            "failed",
            verdict=verdict(error),
            message=str(error),
            traceback=user_traceback(error),
            errno=error.errno if isinstance(error, OSError) else None,
            problems=problems,
        )
        if context.is_main and not isinstance(error, Superseded):
            context.reporter.event("attempt_ended", why=verdict(error))
        with suppress(StorageAway):  # of two reasons to fail the first is told
            context.reporter.close()
        raise
