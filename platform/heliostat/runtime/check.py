"""`helio check`: everything that can be known before a worker is taken."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from heliostat.runtime import environment
from heliostat.runtime.home import home
from heliostat.runtime.registered_model import fetch_model, with_local_weights
from heliostat.runtime.worker import make_importable
from heliostat.spec import (
    Document,
    EntrypointSpec,
    EvaluateSpec,
    InputError,
    PredictSpec,
    Problem,
    Resources,
    TrainSpec,
)
from heliostat.tracking.server import artifact_root, ping, tracking_uri


def check(document: Document, *, deep: bool) -> tuple[Problem, ...]:
    """Build what the spec names; with `deep`, also run one batch and write to tracking.

    Returns warnings. Raises InputError, with places in the file, for what cannot run; where that
    is the user's own code, the message is their traceback.
    """
    make_importable(str(document.folder))
    try:
        ping(tracking_uri(home()))
        environment.check(getattr(document.spec, "env", {}))
        _check_kind(document, deep)
        if deep:
            _write_to_tracking()
    except InputError as error:
        raise document.locate(error) from error
    except Exception as error:
        from heliostat.training.process import user_traceback

        problem = InputError.of(f"it fails when it is tried:\n{user_traceback(error).rstrip()}")
        raise document.locate(problem) from error
    warnings = _resources(getattr(document.spec, "resources", None))
    return document.locate(InputError(warnings)).problems if warnings else ()


def _check_kind(document: Document, deep: bool) -> None:
    spec = document.spec
    if isinstance(spec, TrainSpec):
        from heliostat.training.setup import set_up
        from heliostat.training.trial import try_one_batch

        spec = with_local_weights(spec)
        setup = set_up(spec)
        if deep:
            with tempfile.TemporaryDirectory(prefix="helio-check-") as folder:
                try_one_batch(spec, setup, Path(folder))
    elif isinstance(spec, EntrypointSpec):
        from heliostat.training.custom import bound_entrypoint

        bound_entrypoint(spec)
    elif isinstance(spec, PredictSpec | EvaluateSpec):
        _check_batch(spec)


def _check_batch(spec: PredictSpec | EvaluateSpec) -> None:
    from heliostat.runtime.batch_worker import open_for
    from heliostat.runtime.predictions import check_output

    if isinstance(spec, PredictSpec):
        check_output(spec.output)
    open_for(fetch_model(spec.model), spec)


def _write_to_tracking() -> None:
    from heliostat.tracking.runs import try_writing

    try_writing(tracking_uri(home()), artifact_root(home()))


def _resources(resources: Resources | None) -> list[Problem]:
    """Warn of more than this machine has: the spec may be meant for another cluster."""
    if resources is None:
        return []
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
