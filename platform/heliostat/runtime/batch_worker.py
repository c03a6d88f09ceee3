"""What one worker does of a prediction or an evaluation: the same in an actor and in-process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime import environment
from heliostat.runtime.evaluable import task_of
from heliostat.runtime.model_files import Packed, unpacked
from heliostat.runtime.outputs import Given, kind_of
from heliostat.runtime.registered_model import LocalModel
from heliostat.runtime.worker import make_importable
from heliostat.spec import EvaluateSpec, InputError, PredictSpec

if TYPE_CHECKING:
    from heliostat.data import Samples
    from heliostat.vision.task import Evaluation


class BatchWorker:
    """A registered model and a source, ready to be asked for rows [start, stop)."""

    def __init__(
        self,
        model: LocalModel,
        spec: PredictSpec | EvaluateSpec,
        code: str,
        packed: Packed | None = None,
    ) -> None:
        """Load the model by stock MLflow, no pickle allowed, and open the spec's source.

        The model's files are those of `packed`, where they are not on this machine.
        """
        environment.apply(spec.env)
        if packed is not None:
            import ray

            model = unpacked(model, packed, ray.get)
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
        make_importable(code)
        from heliostat.tracking.serving import load_predictor

        self._model = model
        self._predict = load_predictor(Path(model.folder))
        self._samples = open_for(model, spec)
        self._task = task_of(model) if isinstance(spec, EvaluateSpec) else None

    def predict(self, start: int, stop: int) -> dict[str, list[Any]]:
        """Return the output's columns for rows [start, stop); `error` says what cannot be read."""
        import numpy as np

        read = self._samples.read_each(np.arange(start, stop))
        inputs = [value if isinstance(value, Exception) else self._asked(value) for value in read]
        readable = [value for value in inputs if not isinstance(value, Exception)]
        outputs = iter(self._ask(readable) if readable else ())
        kind = kind_of(self._model)
        names = [field.name for field in kind.fields]
        columns: dict[str, list[Any]] = {name: [] for name in ("source", *names, "error")}
        for number, value in enumerate(inputs, start):
            if isinstance(value, Exception):
                row = dict.fromkeys(names) | {"error": str(value) or type(value).__name__}
            else:
                given = Given(value, self._samples.size(number))
                row = kind.row(next(outputs), given, self._model) | {"error": None}
            row["source"] = self._samples.source(number)
            for name, column in columns.items():
                column.append(row[name])
        return columns

    def evaluate(self, start: int, stop: int) -> tuple[int, Evaluation]:
        """Return how many of the rows [start, stop) there were, and their evaluation."""
        import numpy as np

        from heliostat.vision.registered import evaluate_part

        assert self._task is not None  # an evaluation's worker has one
        inputs, targets = self._samples.read(np.arange(start, stop))
        total = len(self._samples)
        evaluation = evaluate_part(self._task, self._ask, inputs, targets, first=start, total=total)
        return len(inputs), evaluation

    def _asked(self, value: Any) -> Any:
        """Return the input as the model takes it: a seed alone asks for each class in turn."""
        import torch

        from heliostat.data.seeds import Seeds

        if isinstance(self._samples, Seeds) and self._model.shape == (2,):
            return torch.cat([value, value % len(self._model.classes)])
        return value

    def _ask(self, inputs: Any) -> Any:
        """Return an output for each of some inputs, a tensor (n, …) or a list: as a tensor
        (n, …), or a list where sizes may differ."""
        import torch

        from heliostat.vision import tasks

        if tasks.takes_each_size(self._model.task):
            return [self._predict(value[None].numpy())[0] for value in inputs]
        batch = inputs if isinstance(inputs, torch.Tensor) else torch.stack(inputs)
        return torch.from_numpy(self._predict(batch.numpy()))


def open_for(model: LocalModel | None, spec: PredictSpec | EvaluateSpec) -> Samples:
    """Open the spec's source as the model takes it: images in its size and channels.

    An evaluation's are those that its task learns from: with labels, without, or of two domains.
    Without a model, which is only to see what else is wrong, as the source gives them.

    Raises InputError, at the source's key, where that cannot be.
    """
    from heliostat.data import align_classes, open_source
    from heliostat.data.unpaired import Unpaired
    from heliostat.vision import tasks

    if isinstance(spec, PredictSpec):
        key, source, reads = "input", spec.input, "images"
    else:
        key, source, reads = "data", spec.data, "labels"
        if model is not None:
            reads = tasks.reads(model.task, model.task_args)
    known = model if source.dataset is None else None
    channels, size = (known.channels, known.size) if known else (None, None)
    try:
        samples = open_source(
            source,
            image_size=size,
            channels=channels,
            labelled=reads != "images",
            each_own_size=known is not None and tasks.takes_each_size(known.task),
        )
        if model and reads != "images":
            samples = align_classes(samples, model.classes)
        return Unpaired(samples) if reads == "domains" else samples
    except InputError as error:
        raise error.under(key) from error
