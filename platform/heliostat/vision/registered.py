"""A registered model's evaluation, in parts that any number of workers count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heliostat.vision.task import Evaluation, Task

Ask = Callable[[Any], Any]
"""The registered model: inputs, a tensor (n, …) or a list of n, → its n outputs."""


def evaluation_of(task: Task) -> Evaluation:
    """Return a fresh evaluation of the task's registered model.

    A task may have a `registered_evaluation()` of its own, where that model alone is not all that
    `evaluation()` measures. Raises Mistake where nothing can be measured.
    """
    own = getattr(task, "registered_evaluation", None)
    evaluation: Evaluation = own() if own else task.evaluation()
    return evaluation


def evaluate_part(
    task: Task, ask: Ask, inputs: Any, targets: Any, *, first: int, total: int
) -> Evaluation:
    """Return the evaluation of n samples, of the `total` that there are, from number `first` on.

    An evaluation gets what the model gives for `inputs` by `update_outputs(outputs, targets,
    inputs)`; or, if it has `update_registered(ask, inputs, targets, first)`, asks itself.
    """
    evaluation: Any = evaluation_of(task)
    if hasattr(evaluation, "shown"):
        evaluation.shown.among(first, total)
    if hasattr(evaluation, "update_registered"):
        evaluation.update_registered(ask, inputs, targets, first)
    else:
        evaluation.update_outputs(ask(inputs), targets, inputs)
    whole: Evaluation = evaluation
    return whole


def merge(evaluation: Evaluation, later: Evaluation) -> None:
    """Add the part that comes next in the data to the evaluation of all parts before it.

    Merged so, parts give the figures and pictures of one evaluation that sees all samples.
    """
    whole: Any = evaluation
    part: Any = later
    sums = whole.state()
    for name, value in part.state().items():
        sums[name].add_(value)
    if hasattr(whole, "records"):
        whole.records += part.records
    if hasattr(whole, "shown"):
        whole.shown.absorb(part.shown)
