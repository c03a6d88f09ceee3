"""What an evaluation needs besides a registered model: its task, and what that measures by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from heliostat.data import Samples
from heliostat.runtime.home import home
from heliostat.runtime.registered_model import PROGRAM, LocalModel, fetch_model
from heliostat.spec import InputError
from heliostat.tracking.server import tracking_uri
from heliostat.vision import registered, tasks
from heliostat.vision.mistakes import Mistake
from heliostat.vision.task import Task


def evaluable(model: LocalModel) -> LocalModel:
    """Return the model with the programs that its task measures by on this machine.

    Raises InputError where nothing can be measured of it.
    """
    args = {name: _here(value) for name, value in model.task_args.items()}
    ready = replace(model, task_args=args)
    try:
        registered.evaluation_of(task_of(ready))
    except Mistake as mistake:
        message = f"{model.uri} cannot be evaluated: {mistake}"
        raise InputError.of(message, key=("model",)) from mistake
    return ready


def task_of(model: LocalModel) -> Task:
    """Return the task that the model learned, over its classes; raises Mistake."""
    return tasks.build(model.task, model.task_args, classes=model.classes)


def check_samples(model: LocalModel, samples: Samples) -> None:
    """Raise InputError, at the data, where the first samples are not what the task is about."""
    try:
        inputs, targets = samples.read(np.array([0, min(1, len(samples) - 1)]))
        tasks.check_samples(task_of(model), inputs, targets)
    except InputError as error:
        raise error.under("data") from error
    except Mistake as mistake:
        raise InputError.of(str(mistake), key=("data",)) from mistake


def _here(value: Any) -> Any:
    """Return the path of a registered model's program in this machine's cache.

    Training wrote down where its own was, which may be another machine's, or deleted since.
    """
    if not isinstance(value, str) or Path(value).parts[-2:] != PROGRAM or Path(value).is_file():
        return value
    from heliostat.tracking.models import list_models, resolve

    model_id, store = Path(value).parents[1].name, tracking_uri(home())
    for row in list_models(store):
        uri = f"models:/{row.name}/{row.version}"
        if model_id and resolve(store, uri).model_id == model_id:
            return str(Path(fetch_model(uri).folder, *PROGRAM))
    return value
