"""A finished job's model into its folder: as a graph, or else as code and weights."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from heliostat.spec import TrainSpec
from heliostat.training.context import Context
from heliostat.training.exporting import export_model
from heliostat.training.setup import Setup
from heliostat.vision.imports import is_path


def package(spec: TrainSpec, setup: Setup, context: Context, code: Path) -> None:
    """Package the model; one that goes neither as a graph nor as code fails no job.

    `code` is the folder that holds the user's modules.
    """
    began = time.monotonic()
    task: Any = setup.task
    folder = context.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)  # an earlier attempt's, or half of one
    example = task.example(setup.example) if hasattr(task, "example") else setup.example
    packaged = "graph"
    try:
        reason = export_model(
            folder,
            setup.model,
            task.predictor(setup.model),
            example,
            classes=setup.data.train.classes,
            source=_source(spec, setup, example, context.folder / "code", code),
            facts=_facts(spec, setup, example),
            exportable=getattr(task, "exportable", True),
        )
        packaged = "code" if reason else "graph"
    except ValueError as refusal:
        packaged, reason = "nothing", str(refusal)
    seconds = time.monotonic() - began
    context.reporter.event("model_exported", seconds=seconds, packaged=packaged, reason=reason)


def _facts(spec: TrainSpec, setup: Setup, example: Tensor) -> dict[str, Any]:
    """Return what a prediction must know: the task, and the input's shape where it is free."""
    facts: dict[str, Any] = {}
    if not is_path(spec.task.name):
        facts = {"task": spec.task.name, "task_args": spec.task.args}
    if spec.task.name == "detection" and spec.data.image_size is None:
        dtype = str(example.dtype).removeprefix("torch.")
        facts["input"] = {"shape": [-1, example.shape[1], -1, -1], "dtype": dtype}
    return facts


def _source(
    spec: TrainSpec, setup: Setup, example: Tensor, own: Path, code: Path
) -> dict[str, Any] | None:
    """Return how to build the model from code, or None: only a graph will do then."""
    classes = len(setup.data.train.classes)
    standalone = getattr(setup.task, "standalone", None)
    if standalone is not None:
        # A file of heliostat's that imports nothing of it, under a name that is nobody's.
        own.mkdir(exist_ok=True)
        shutil.copyfile(standalone, own / f"{STANDALONE}.py")
        is_users = is_path(spec.model.name)
        given = {} if is_users else {"name": spec.model.name}
        return {
            "callable": spec.model.name if is_users else f"{STANDALONE}:build",
            "args": {**given, **spec.model.args},
            "offered": {"num_classes": classes, "in_channels": example.shape[1]},
            "code": [str(own), *([str(code)] if is_users else [])],
            "requires": ["torchvision"],
        }
    if is_path(spec.model.name) and spec.task.name == "classification":
        return {
            "callable": spec.model.name,
            "args": spec.model.args,
            "offered": {"num_classes": classes, "in_channels": example.shape[1]},
            "code": [str(code)],
        }
    return None


STANDALONE = "heliostat_standalone"
