"""From a spec to what training works with: the data sets, the task, the model.

Everything a person can get wrong beyond the spec's text is found here, by the code that runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from heliostat.data import (
    Samples,
    Statistics,
    align_classes,
    check_augment,
    check_one_size,
    check_shapes,
    open_source,
    statistics,
)
from heliostat.data.transforms import Apply, whole_batch
from heliostat.data.unpaired import Unpaired
from heliostat.spec import (
    DataSpec,
    InputError,
    Key,
    ModelSpec,
    Objective,
    RandomResizedCrop,
    Source,
    TrainSpec,
    did_you_mean,
    together,
)
from heliostat.training.model_settings import freeze
from heliostat.training.optimization import check_optimizer
from heliostat.vision import models, tasks
from heliostat.vision.export import evaluating, initialise_lazy
from heliostat.vision.imports import is_path
from heliostat.vision.mistakes import Mistake, UnknownName, WrongTargets
from heliostat.vision.task import Task
from heliostat.vision.weights import fit, torchvision_weights


@dataclass(frozen=True)
class DataSets:
    """The opened splits of a job."""

    train: Samples
    val: Samples | None
    test: Samples | None
    _statistics: dict[int, Statistics | None] = field(default_factory=dict)

    def statistics(self, seed: int) -> Statistics | None:
        """Return the training images' mean and deviation, computed once; None if not images."""
        if seed not in self._statistics:
            self._statistics[seed] = statistics(self.train, seed)
        return self._statistics[seed]

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
    example: Any
    """Two samples' inputs as they come from the data set: (2, …), or a list of two images."""
    augment_on_device: Apply | None = None
    """What is done to a batch (inputs, targets) where the model is, before each step."""
    begun_with: str | None = None
    """What became of the weights that the spec names, in a line."""


def set_up(spec: TrainSpec, data: DataSets | None = None) -> Setup:
    """Open the data, build the task and the model, load its weights, and try them on two samples.

    `data` is the spec's where it is open already: a search opens it once for all trials.
    Raises InputError for what the spec's author got wrong, and whatever the user's own code
    raises, as it is.
    """
    torch.manual_seed(spec.seed)
    with together() as step:
        with step():
            data = data or open_spec_data(spec)
        with step(), _mistakes(*_task_keys(spec)):
            tasks.check(spec.task.name, spec.task.args, *_OFFERED)
        with step(), _mistakes(*_MODEL):
            tasks.check_model(spec.task.name, spec.model.name, spec.model.args)
        with step():
            weights = read_weights(spec.model)
    assert data is not None  # what kept it from being opened was raised
    task: Task | None = None
    with together() as step:
        with step():
            task = build_task(spec, data)
            check_objective(spec, task)
        with step("data"):
            check_augment(spec.data.augment, data.train)
        with step("data"):
            on_device = _on_device(spec.data)
        with step():
            if task is not None:
                example, targets = _two_samples(data.train, task)
                model = build_model(spec, task, data, example)
    assert task is not None  # what kept it from being built was raised
    initialise_lazy(model, example)
    begun_with = None
    if weights is not None:
        with _mistakes(("model", "weights"), ("model", "weights")):
            begun_with = str(fit(model, weights))
    freeze(model, spec.model.freeze)
    check_optimizer(model, spec.optimizer)
    try_out(spec.model.name, model, task, example, targets)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError.of(f"{spec.model.name} has no parameter to train", key=("model", "name"))
    return Setup(data, task, model, example, on_device, begun_with)


def open_spec_data(spec: TrainSpec) -> DataSets:
    """Open every split of the spec as its task reads them."""
    return open_data(spec.data, _reads(spec))


def open_data(spec: DataSpec, reads: str = "labels") -> DataSets:
    """Open every split the spec names; report the problems of all of them together.

    `reads` is what `tasks.reads` says: without labels where that is "images", and pairs of images
    where it is "domains".
    """
    opened: dict[str, Samples] = {}
    with together() as step:
        for name, source in (("train", spec.train), ("val", spec.val), ("test", spec.test)):
            if source is not None:
                with step("data", name):
                    opened[name] = _open_split(source, spec, reads)
    train = opened["train"]
    with together() as step:
        for name in sorted(opened.keys() - {"train"}):
            with step("data", name):
                check_shapes(train, opened[name])
                opened[name] = align_classes(opened[name], train.classes)
    return DataSets(train, opened.get("val"), opened.get("test"))


def build_task(spec: TrainSpec, data: DataSets) -> Task:
    """Return the spec's task over the data's classes, whose labels a built-in one can take."""
    with _mistakes(*_task_keys(spec)):
        task = tasks.build(spec.task.name, spec.task.args, classes=data.train.classes)
    if not is_path(spec.task.name):
        with together() as step:
            for name, samples in data.splits().items():
                with step("data", name):
                    _check_labels(samples)
    return task


def check_objective(spec: TrainSpec, task: Task) -> None:
    """Raise InputError where no evaluation produces the objective's metric."""
    if spec.objective is not None:
        check_goal(spec.objective, task, ("objective", "metric"))


def check_goals(objectives: Sequence[Objective], task: Task) -> None:
    """Raise InputError where no evaluation produces one of a search's own `objectives`."""
    with together() as step:
        for number, objective in enumerate(objectives):
            with step():
                check_goal(objective, task, ("objectives", number, "metric"))


def check_goal(objective: Objective, task: Task, key: Key) -> None:
    """Raise InputError, about `key`, where no evaluation produces the metric."""
    name = objective.metric.removeprefix("val/")
    if name not in task.metrics:
        # Those of each class (`f1/cat`) would make a long list of it.
        listed = [f"val/{metric}" for metric in task.metrics if "/" not in metric]
        raise InputError.of(
            f"no evaluation of this task produces {objective.metric}",
            key=key,
            valid=did_you_mean(objective.metric, listed),
        )


def build_model(spec: TrainSpec, task: Task, data: DataSets, example: Any) -> nn.Module:
    """Return the task's whole model for inputs like `example`: raw inputs in."""
    train = data.train
    first = example[0]
    # A sample of one image, or of one image of each of two domains.
    is_image = isinstance(first, Tensor) and first.ndim in (3, 4)
    classes = getattr(task, "classes", train.classes)
    with _mistakes(*_MODEL):
        net = models.build(
            spec.model.name,
            spec.model.args,
            num_classes=len(classes) or None,
            in_channels=first.shape[-3] if is_image else None,
            size=train.shape[1:] if train.shape is not None else None,
            catalogue=tasks.catalogue(spec.task.name),
        )
    with together() as step, step("data", "train"):
        images = train.shape is not None or isinstance(example, list)
        figures = data.statistics(spec.seed) if images else None
    mean, std = (figures.mean, figures.std) if figures else (None, None)
    return tasks.assemble(task, net, mean, std)


def read_weights(spec: ModelSpec) -> dict[str, Tensor] | None:
    """Return the weights to begin with, by name; None for fresh ones.

    Raises InputError where they cannot be had.
    """
    if spec.weights is None:
        return None
    key: Key = ("model", "weights")
    if not spec.weights.endswith(".safetensors"):
        with _mistakes(key, key):
            return torchvision_weights(spec.weights, spec.name)
    valid = "a .safetensors file or models:/name/1"
    if not Path(spec.weights).is_file():
        raise InputError.of(f"there is no file {spec.weights}", key=key, valid=valid)
    try:
        return load_file(spec.weights)
    except (OSError, SafetensorError) as error:
        raise InputError.of(f"cannot read {spec.weights}: {error}", key=key, valid=valid) from error


def try_out(name: str, model: nn.Module, task: Task, inputs: Any, targets: Any) -> None:
    """Evaluate two samples. Raises InputError where a built-in model cannot take them, or where
    a model gives what the built-in task cannot use; the user's own exceptions are theirs."""
    with evaluating(model), torch.no_grad():
        if not is_path(name):
            _check_takes(name, model, inputs)
        with _mistakes(*_MODEL):
            task.evaluation().update(model, inputs, targets)


def _check_takes(name: str, model: nn.Module, inputs: Any) -> None:
    try:
        model(inputs)
    except _REFUSALS as refusal:
        shape = "×".join(map(str, inputs[0].shape))
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


def _reads(spec: TrainSpec) -> str:
    # What is wrong with the task's name is said where the task is built.
    with suppress(LookupError):
        return tasks.reads(spec.task.name, spec.task.args)
    return "labels"


def _open_split(source: Source, spec: DataSpec, reads: str) -> Samples:
    samples = open_source(
        source,
        labelled=reads != "images",
        image_size=spec.image_size or _crop_size(spec),
        channels=spec.channels,
        on_error=spec.on_error,
        decoder=spec.decoder,
        cache=spec.cache,
    )
    return Unpaired(samples) if reads == "domains" else samples


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


def _two_samples(train: Samples, task: Task) -> tuple[Any, Any]:
    """Return two samples; InputError where they are not what the task learns from."""
    with together() as step, step("data", "train"):
        indices = np.array([0, min(1, len(train) - 1)])
        inputs, targets = train.read(indices)
    if getattr(task, "one_size", False):
        check_one_size(train, indices, inputs)
    with _mistakes(("task",), ("task",)):
        tasks.check_samples(task, inputs, targets)
    if not isinstance(inputs, Tensor | list):
        message = f"a sample's input is a {type(inputs).__name__}"
        raise InputError.of(message, key=("data", "train"), valid="a tensor")
    return inputs, targets


_OFFERED = ("classes",)
_MODEL: tuple[Key, Key] = (("model", "name"), ("model", "args"))


def _task_keys(spec: TrainSpec) -> tuple[Key, Key]:
    """Return where a mistake about the task's name stands, and one about its arguments."""
    return ("task",), ("task", "args") if spec.task.args else ("task",)


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
