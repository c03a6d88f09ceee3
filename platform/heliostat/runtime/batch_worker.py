"""What one worker does of a prediction or an evaluation: the same in an actor and in-process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime import environment
from heliostat.runtime.registered_model import LocalModel
from heliostat.runtime.worker import make_importable
from heliostat.spec import EvaluateSpec, InputError, PredictSpec

if TYPE_CHECKING:
    from heliostat.data import Samples


class BatchWorker:
    """A registered model and a source, ready to be asked for rows [start, stop)."""

    def __init__(self, model: LocalModel, spec: PredictSpec | EvaluateSpec, code: str) -> None:
        """Load the model by stock MLflow, no pickle allowed, and open the spec's source."""
        environment.apply(spec.env)
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
        make_importable(code)
        from heliostat.tracking.serving import load_predictor

        self._model = model
        self._predict = load_predictor(Path(model.folder))
        self._samples = open_for(model, spec)

    def predict(self, start: int, stop: int) -> dict[str, list[Any]]:
        """Return the output's columns for rows [start, stop); `error` says what cannot be read."""
        import numpy as np

        inputs = self._samples.read_each(np.arange(start, stop))
        readable = [value for value in inputs if not isinstance(value, Exception)]
        outputs = iter(self._outputs(readable))
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for row, value in enumerate(inputs, start):
            columns["source"].append(self._samples.source(row))
            if isinstance(value, Exception):
                self._add(columns, None, str(value) or type(value).__name__)
            else:
                self._add(columns, next(outputs), None)
        return columns

    def evaluate(self, start: int, stop: int) -> Any:
        """Return the evaluation of rows [start, stop): sums, and inputs for a picture."""
        import numpy as np
        import torch

        from heliostat.vision.classification import Classification

        evaluation = Classification(self._model.classes).evaluation()
        inputs, targets = self._samples.read(np.arange(start, stop))
        outputs = torch.from_numpy(np.asarray(self._predict(inputs.numpy())))
        evaluation.update_outputs(outputs, targets, inputs if start == 0 else None)
        return evaluation

    def _outputs(self, readable: list[Any]) -> Any:
        import numpy as np

        if not readable:
            return []
        return np.asarray(self._predict(np.stack([value.numpy() for value in readable])))

    def _add(self, columns: dict[str, list[Any]], output: Any, error: str | None) -> None:
        known = output is not None
        best = int(output.argmax()) if known else None
        classes = self._model.classes
        label = None if best is None else classes[best] if classes else str(best)
        columns["label"].append(label)
        columns["probability"].append(float(output[best]) if known else None)
        columns["probabilities"].append(output.tolist() if known else None)
        columns["error"].append(error)


COLUMNS = ("source", "label", "probability", "probabilities", "error")


def open_for(model: LocalModel | None, spec: PredictSpec | EvaluateSpec) -> Samples:
    """Open the spec's source as the model takes it: images in its size and channels.

    Without a model, which is only to see what else is wrong, as the source gives them.

    Raises InputError, at the source's key, where that cannot be.
    """
    from heliostat.data import align_classes, open_source

    labelled = isinstance(spec, EvaluateSpec)
    key, source = ("data", spec.data) if isinstance(spec, EvaluateSpec) else ("input", spec.input)
    shape = model.images if model and source.dataset is None else None
    channels, size = (shape[0], shape[1:]) if shape else (None, None)
    try:
        samples = open_source(source, image_size=size, channels=channels, labelled=labelled)
        return align_classes(samples, model.classes) if model and labelled else samples
    except InputError as error:
        raise error.under(key) from error
