"""`helio check`: everything that can be known before a worker is taken."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime.capacity import trials_at_once
from heliostat.runtime.home import home
from heliostat.runtime.preparing import check_surroundings
from heliostat.runtime.registered_model import with_local_models, without_weights
from heliostat.runtime.worker import make_importable
from heliostat.search.suggesting import make_suggester
from heliostat.spec import (
    Document,
    EntrypointSpec,
    EvaluateSpec,
    InputError,
    PredictSpec,
    Problem,
    Resources,
    Spec,
    TrainSpec,
    TuneSpec,
    together,
)
from heliostat.spec.overrides import key_of
from heliostat.tracking.server import artifact_root, tracking_uri

if TYPE_CHECKING:
    from heliostat.vision.task import Task


def check(document: Document, *, deep: bool) -> tuple[Problem, ...]:
    """Build what the spec names; with `deep`, also run one batch and write to tracking.

    Returns warnings. Raises InputError, with places in the file, for what cannot run; where that
    is the user's own code, the message is their traceback.
    """
    make_importable(str(document.folder))
    spec = document.spec
    about, within = (spec.train, ("train",)) if isinstance(spec, TuneSpec) else (spec, ())
    try:
        with together() as step:
            with step(*within):
                check_surroundings(about, document.folder, local=True)
            with step():
                _check_kind(spec, deep)
        if deep:
            _write_to_tracking()
    except InputError as error:
        raise document.locate(error) from error
    except (Exception, SystemExit) as error:  # the user's code may call sys.exit
        from heliostat.training.judging import user_traceback

        problem = InputError.of(f"it fails when it is tried:\n{user_traceback(error).rstrip()}")
        raise document.locate(problem) from error
    warnings = _room(spec) if isinstance(spec, TuneSpec) else _resources(spec.resources)
    return document.locate(InputError(warnings)).problems if warnings else ()


def _check_kind(spec: Spec, deep: bool) -> None:
    """Build what the spec names. The imports take seconds, so each kind does its own."""
    if isinstance(spec, TrainSpec):
        _check_training(spec, deep)
    elif isinstance(spec, EntrypointSpec):
        from heliostat.training.custom import set_up_own

        set_up_own(spec)
    elif isinstance(spec, PredictSpec | EvaluateSpec):
        from heliostat.runtime.batch_job import open_batch

        open_batch(spec)
    else:
        _check_search(spec, deep)


def _check_training(spec: TrainSpec, deep: bool) -> Task:
    from heliostat.training.setup import set_up
    from heliostat.training.trial import try_one_batch

    ready = without_weights(spec)
    with together() as step:
        with step():
            ready = with_local_models(spec)
        with step():
            setup = set_up(ready)
    if deep:
        with tempfile.TemporaryDirectory(prefix="helio-check-") as folder:
            try_one_batch(ready, setup, Path(folder))
    return setup.task


def _check_search(spec: TuneSpec, deep: bool) -> None:
    """Build what the train spec names: as it stands, and with what the first trial tries."""
    train, task = spec.train, None
    with together() as step, step("train"):
        if isinstance(train, TrainSpec):
            task = _check_training(train, deep)
        else:
            _check_kind(train, deep)
    if task is not None:
        from heliostat.training.setup import check_goals

        check_goals(spec.objectives, task)
    values = make_suggester(spec).suggest(0)
    try:
        _check_kind(spec.trial_spec(values), deep)
    except InputError as error:
        raise InputError(_of_trial(problem, values) for problem in error.problems) from error


def _of_trial(problem: Problem, values: dict[str, Any]) -> Problem:
    """Return a trial's problem at the searched key that it is about, else at train's."""
    for name, value in values.items():
        key = key_of(name)
        shared = min(len(key), len(problem.key))
        if shared and key[:shared] == problem.key[:shared]:
            message = f"the first trial tries {value!r}: {problem.message}"
            return replace(problem, message=message, key=("search", name))
    message = f"with the first trial's values: {problem.message}"
    return replace(problem, message=message, key=("train", *problem.key))


def _write_to_tracking() -> None:
    from heliostat.tracking.runs import try_writing

    try_writing(tracking_uri(home()), artifact_root(home()))


def _room(spec: TuneSpec) -> list[Problem]:
    """Warn where no trial has room on this machine, or fewer than `concurrent`."""
    try:
        trials_at_once(spec, {"CPU": os.cpu_count() or 1, "GPU": _gpus()})
    except InputError as error:
        return list(error.problems)
    return []


def _resources(resources: Resources) -> list[Problem]:
    """Warn of more than this machine has: the spec may be meant for another cluster."""
    cpus = resources.min_workers * resources.cpus_per_worker
    have = os.cpu_count() or 1
    problems = []
    if cpus > have:
        message = f"{cpus} CPUs are asked for and this machine has {have}"
        problems.append(Problem(message, ("resources", "workers")))
    gpus = resources.min_workers * resources.gpus_per_worker
    if gpus > _gpus():
        message = f"{gpus} GPUs are asked for and this machine has {_gpus()}"
        problems.append(Problem(message, ("resources", "gpus_per_worker")))
    return problems


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
