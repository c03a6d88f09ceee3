"""From a spec to what training works with: the data sets, the task, the model.

Everything a person can get wrong beyond the spec's text is found here, by the code that runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from heliostat.data import (
    Samples,
    align_classes,
    check_augment,
    check_shapes,
    open_source,
    statistics,
)
from heliostat.data.transforms import Apply, whole_batch
from heliostat.spec import (
    DataSpec,
    InputError,
    Key,
    ModelSpec,
    RandomResizedCrop,
    Source,
    TrainSpec,
    did_you_mean,
    together,
)
from heliostat.vision import models, tasks
from heliostat.vision.export import evaluating, initialise_lazy
from heliostat.vision.imports import is_path
from heliostat.vision.mistakes import Mistake, UnknownName, WrongTargets
from heliostat.vision.normalize import pipeline
from heliostat.vision.task import Task


@dataclass(frozen=True)
class DataSets:
    """The opened splits of a job."""

    train: Samples
    val: Samples | None
    test: Samples | None

    def splits(self) -> dict[str, Samples]:
        """Return the splits that there are, by name."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: samples for name, samples in named.items() if samples is not None}


@dataclass(frozen=True)
class Setup:
    """What a training process works with; the same on every rank."""

    data: DataSets
    task: Task
    model: nn.Module
    example: Tensor
    """Two samples' inputs as they come from the data set: (2, …)."""
    augment_on_device: Apply | None = None
    """What is done to a batch (inputs, targets) where the model is, before each step."""


def set_up(spec: TrainSpec) -> Setup:
    """Open the data, build the task and the model, load its weights, and try them on two samples.

    Raises InputError for what the spec's author got wrong, and whatever the user's own code
    raises, as it is.
    """
    torch.manual_seed(spec.seed)
    with together() as step:
        with step():
            data = open_data(spec.data)
        with step(), _mistakes(*_TASK):
            tasks.check(spec.task, "classes")
        with step(), _mistakes(*_MODEL):
            models.check(spec.model.name, spec.model.args)
        with step():
            weights = read_weights(spec.model.weights) if spec.model.weights else None
    with together() as step:
        with step():
            task = build_task(spec, data)
            check_objective(spec, task)
        with step("data"):
            check_augment(spec.data.augment, data.train)
        with step("data"):
            on_device = _on_device(spec.data)
        with step():
            example, targets = _two_samples(data.train)
            model = build_model(spec.model, data.train, example, spec.seed)
    initialise_lazy(model, example)
    if weights is not None:
        load_weights(model, weights)
    try_out(spec.model.name, model, task, example, targets)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError.of(f"{spec.model.name} has no parameter to train", key=("model", "name"))
    return Setup(data, task, model, example, on_device)


def open_data(spec: DataSpec) -> DataSets:
    """Open every split the spec names; report the problems of all of them together."""
    opened: dict[str, Samples] = {}
    with together() as step:
        for name, source in (("train", spec.train), ("val", spec.val), ("test", spec.test)):
            if source is not None:
                with step("data", name):
                    opened[name] = _open_split(source, spec)
    train = opened["train"]
    with together() as step:
        for name in sorted(opened.keys() - {"train"}):
            with step("data", name):
                check_shapes(train, opened[name])
                opened[name] = align_classes(opened[name], train.classes)
    return DataSets(train, opened.get("val"), opened.get("test"))


def build_task(spec: TrainSpec, data: DataSets) -> Task:
    """Return the spec's task over the data's classes, whose labels a built-in one can take."""
    with _mistakes(*_TASK):
        task = tasks.build(spec.task, classes=data.train.classes)
    if not is_path(spec.task):
        with together() as step:
            for name, samples in data.splits().items():
                with step("data", name):
                    _check_labels(samples)
    return task


def check_objective(spec: TrainSpec, task: Task) -> None:
    """Raise InputError where no evaluation produces the objective's metric."""
    if spec.objective is None:
        return
    name = spec.objective.metric.removeprefix("val/")
    if name not in task.metrics:
        # Those of each class (`f1/cat`) would make a long list of it.
        listed = [f"val/{metric}" for metric in task.metrics if "/" not in metric]
        raise InputError.of(
            f"no evaluation of this task produces {spec.objective.metric}",
            key=("objective", "metric"),
            valid=did_you_mean(spec.objective.metric, listed),
        )


def build_model(spec: ModelSpec, train: Samples, example: Tensor, seed: int) -> nn.Module:
    """Return the network for inputs like `example`, its normalisation before it: raw inputs in."""
    with _mistakes(*_MODEL):
        net = models.build(
            spec.name,
            spec.args,
            num_classes=len(train.classes) or None,
            in_channels=example.shape[1] if example.ndim == 4 else None,
        )
    with together() as step, step("data", "train"):
        figures = statistics(train, seed) if train.shape is not None else None
    return pipeline(net, figures.mean, figures.std) if figures else pipeline(net, None, None)


def read_weights(path: str) -> dict[str, Tensor]:
    """Return a safetensors file's tensors by name; InputError where it is none."""
    key, valid = ("model", "weights"), "a .safetensors file or models:/name/1"
    if not Path(path).is_file():
        raise InputError.of(f"there is no file {path}", key=key, valid=valid)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError.of(f"cannot read {path}: {error}", key=key, valid=valid) from error


def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put weights into the model; raise InputError where they do not fit."""
    expected = model.state_dict()
    if not any(name in expected for name in weights):
        # Weights of the bare network, from elsewhere than a heliostat job.
        weights = {f"net.{name}": value for name, value in weights.items()}
    faults = [
        f"{name} is {tuple(weights[name].shape)}, the model's is {tuple(value.shape)}"
        if name in weights
        else f"{name} is missing"
        for name, value in expected.items()
        if (name not in weights and not name.startswith("normalize."))
        or (name in weights and weights[name].shape != value.shape)
    ]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError.of(
            f"the weights do not fit the model: {faults[0]}{more}", key=("model", "weights")
        )
    model.load_state_dict(weights, strict=False)


def try_out(name: str, model: nn.Module, task: Task, inputs: Tensor, targets: Any) -> None:
    """Evaluate two samples. Raises InputError where a built-in model cannot take them, or where
    a model gives what the built-in task cannot use; the user's own exceptions are theirs."""
    with evaluating(model), torch.no_grad():
        if not is_path(name):
            _check_takes(name, model, inputs)
        with _mistakes(*_MODEL):
            task.evaluation().update(model, inputs, targets)


def _check_takes(name: str, model: nn.Module, inputs: Tensor) -> None:
    try:
        model(inputs)
    except _REFUSALS as refusal:
        shape = "×".join(map(str, inputs.shape[1:]))
        reason = (str(refusal).splitlines() or [type(refusal).__name__])[0]
        raise InputError.of(
            f"{name} cannot take inputs of {shape}: {reason}",
            key=("model", "name"),
            valid="another model, or data.image_size",
        ) from refusal


# What torch's and torchvision's modules raise for a tensor that they cannot take.
_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)


def _on_device(spec: DataSpec) -> Apply | None:
    steps = spec.augment_on_device
    return whole_batch(steps, key=("augment_on_device",)) if steps else None


def _open_split(source: Source, spec: DataSpec) -> Samples:
    return open_source(
        source,
        image_size=spec.image_size or _crop_size(spec),
        channels=spec.channels,
        on_error=spec.on_error,
        decoder=spec.decoder,
        cache=spec.cache,
    )


def _crop_size(spec: DataSpec) -> tuple[int, int] | None:
    """Return what a random resized crop makes of training images: evaluation's have that size."""
    first = spec.augment[0] if spec.augment else None
    return first.size if isinstance(first, RandomResizedCrop) else None


def _check_labels(samples: Samples) -> None:
    """Raise InputError where a sample's label is none of the classes."""
    labels, count = samples.labels, len(samples.classes)
    if labels is None:
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if len(wrong):
        first = int(wrong[0])
        raise InputError.of(
            f"{samples.source(first)} has the label {labels[first]}, and there are {count} classes",
            valid=f"0 to {count - 1}",
        )


def _two_samples(train: Samples) -> tuple[Tensor, Any]:
    with together() as step, step("data", "train"):
        inputs, targets = train.read(np.array([0, min(1, len(train) - 1)]))
    if not isinstance(inputs, Tensor):
        boxes = isinstance(inputs, list)
        raise InputError.of(
            "the data has boxes or masks, and no class for each image"
            if boxes
            else f"a sample's input is a {type(inputs).__name__}",
            key=("data", "train"),
            valid="data of classes" if boxes else "a tensor",
        )
    return inputs, targets


_TASK: tuple[Key, Key] = (("task",), ("task",))
_MODEL: tuple[Key, Key] = (("model", "name"), ("model", "args"))


@contextmanager
def _mistakes(name: Key, args: Key) -> Iterator[None]:
    """Turn a Mistake met inside into InputError, at the key that it is about."""
    try:
        yield
    except UnknownName as mistake:
        raise InputError.of(str(mistake), key=name) from mistake
    except WrongTargets as mistake:
        raise InputError.of(str(mistake), key=("data", "train")) from mistake
    except Mistake as mistake:
        raise InputError.of(str(mistake), key=args) from mistake
