"""A logged model as a function, loaded by stock MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliostat.tracking.client import flavors


def load_predictor(folder: Path) -> Callable[[Any], Any]:
    """Return the model in `folder` as a function: inputs (n, …) as a numpy array → outputs.

    Set MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false before, and no pickle is read.
    """
    with flavors():
        import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(folder))
    predict: Callable[[Any], Any] = model.predict
    return predict
