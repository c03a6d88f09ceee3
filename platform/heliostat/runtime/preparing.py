"""What a job needs around it, looked at before anything of the job exists."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from heliostat.runtime import environment, job_storage
from heliostat.runtime.home import home
from heliostat.runtime.registered_model import with_local_models
from heliostat.runtime.session import check_machine
from heliostat.spec import (
    EntrypointSpec,
    EvaluateSpec,
    InputError,
    PredictSpec,
    TrainSpec,
    together,
)
from heliostat.tracking.server import ping, tracking_uri


def prepare(
    spec: TrainSpec | EntrypointSpec, folder: Path, *, local: bool
) -> TrainSpec | EntrypointSpec:
    """Return the spec with its weights on this machine; `folder` is the spec's.

    Raises InputError for all that is missing. Nothing is begun.
    """
    check_surroundings(spec, folder, local=local)
    return with_local_models(spec) if isinstance(spec, TrainSpec) else spec


def check_surroundings(
    spec: TrainSpec | EntrypointSpec | PredictSpec | EvaluateSpec, folder: Path, *, local: bool
) -> None:
    """Raise InputError where HELIO_HOME, MLflow, a secret or (not `local`) a CPU is not there."""
    uri = tracking_uri(home())
    with together() as step:
        if records_in_mlflow(local):
            with step():
                ping(uri)
        with step():
            environment.check(spec.env)
        with step():
            _check_modules(folder)
        if not local:
            with step():
                check_machine(spec.resources)
            if spec.kind in job_storage.KINDS:
                with step():
                    job_storage.probe()


def records_in_mlflow(local: bool) -> bool:
    """Whether MLflow is told; a local job without mlflow has its journal for a record."""
    return not local or importlib.util.find_spec("mlflow") is not None


def _check_modules(folder: Path) -> None:
    """Refuse a module beside the spec that hides one which everything here imports.

    The spec's folder comes first on the import path: its `random.py` would be what numpy gets,
    in a process that then fails far from the cause.
    """
    hiding = sorted(path for path in folder.glob("*.py") if path.stem in _NEEDED)
    if hiding:
        name = hiding[0].stem
        owner = "Python's own" if name in sys.stdlib_module_names else "the installed"
        raise InputError.of(f"{hiding[0]} hides {owner} module {name}", valid="another name for it")


_NEEDED = {
    *(sys.stdlib_module_names - {"test"}),  # which only Python's own tests import
    *("PIL", "heliostat", "mlflow", "numpy", "pandas", "pyarrow", "pydantic", "ray"),
    *("safetensors", "sklearn", "torch", "torchvision"),
}
