"""A registered model on this machine: its files, what it takes and what it gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliostat.runtime.home import home, models_folder
from heliostat.spec import InputError, ModelSpec, TrainSpec, together
from heliostat.tracking.server import TrackingAway, is_unused, tracking_uri

PROGRAM = ("data", "model.pt2")
"""Where an exported program is in its model's folder, whose name is the logged model's id."""


@dataclass(frozen=True)
class LocalModel:
    """A version of a registered model whose files are here; plain values, so it travels."""

    uri: str
    """models:/name/version"""
    name: str
    version: int
    run_id: str
    """The run that made it."""
    folder: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """The input's shape without the batch: (C, H, W) for images."""
    dtype: str
    task: str
    """A built-in task's name, or the path of the user's own."""
    task_args: dict[str, Any]
    made: tuple[int, ...] = ()
    """The shape of an image uint8 that it gives, (C, H, W), where it gives one."""

    @property
    def output_classes(self) -> tuple[str, ...]:
        """The names of the numbers that the model gives: the data's, maybe after a background."""
        return (*(("background",) if self.task_args.get("background") else ()), *self.classes)

    @property
    def channels(self) -> int | None:
        """How many channels images need, where the model takes or makes images."""
        return self._image[0] if self._image else None

    @property
    def size(self) -> tuple[int, int] | None:
        """The (height, width) that images need; None where any will do."""
        if not self._image or -1 in self._image:
            return None
        return self._image[1], self._image[2]

    @property
    def _image(self) -> tuple[int, ...]:
        """The shape of what it takes as it is stored; of what it makes, if that is of no image."""
        return self.shape if _is_image(self.dtype, self.shape) else self.made


def fetch_model(model: str, *, key: str = "model") -> LocalModel:
    """Resolve `models:/name@alias` (or `/version`) and bring its files into the cache.

    Raises InputError, at `key`, where there is no such model or it is not one of heliostat's.
    """
    uri, at = tracking_uri(home()), tuple(key.split("."))
    if is_unused(uri):
        raise InputError.of(f"there is no registered model {model}", key=at, valid="there is none")
    from heliostat.tracking.models import download, resolve

    try:
        resolved = resolve(uri, model)
        # The logged model's id and not the version: another server counts from 1 too.
        folder = download(uri, resolved, models_folder() / resolved.model_id)
    except InputError as error:
        raise error.under(*at) from error
    except TrackingAway as away:
        raise InputError.of(str(away), key=at, valid="try again when it answers") from away
    facts = _facts(folder, resolved.uri)
    output = facts.get("output") or {"shape": [], "dtype": ""}
    made = tuple(output["shape"][1:])
    return LocalModel(
        uri=resolved.uri,
        name=resolved.name,
        version=resolved.version,
        run_id=resolved.run_id,
        folder=str(folder),
        classes=tuple(facts["classes"]),
        shape=tuple(facts["input"]["shape"][1:]),
        dtype=facts["input"]["dtype"],
        task=facts.get("task", "classification"),
        task_args=facts.get("task_args", {}),
        made=made if _is_image(output["dtype"], made) else (),
    )


def with_local_models(spec: TrainSpec) -> TrainSpec:
    """Return the spec with files here in place of the registered models that it names.

    `model.weights` becomes the model's file of weights; an argument of the task, such as the
    classifier whose features generated images are judged by, its exported program.
    """
    with together() as step:
        with step():
            spec = _with_local_weights(spec)
        with step():
            spec = _with_local_programs(spec)
    return spec


def _with_local_weights(spec: TrainSpec) -> TrainSpec:
    weights = spec.model.weights
    if weights is None or not weights.startswith("models:"):
        return spec
    from heliostat.tracking.models import weights_file

    folder = Path(fetch_model(weights, key="model.weights").folder)
    return _with_weights(spec, str(weights_file(folder)))


def _with_local_programs(spec: TrainSpec) -> TrainSpec:
    args = {
        name: str(_program(value, f"task.args.{name}"))
        if isinstance(value, str) and value.startswith("models:/")
        else value
        for name, value in spec.task.args.items()
    }
    task = spec.task.model_copy(update={"args": args})
    return spec.model_copy(update={"task": task})


def _is_image(dtype: str, shape: tuple[int, ...]) -> bool:
    return dtype == "uint8" and len(shape) == 3


def _program(model: str, key: str) -> Path:
    program = Path(fetch_model(model, key=key).folder, *PROGRAM)
    if not program.is_file():
        at = tuple(key.split("."))
        raise InputError.of(f"{model} is no exported program", key=at, valid="another model")
    return program


def without_weights(spec: TrainSpec) -> TrainSpec:
    """Return the spec with a model that begins anew."""
    return _with_weights(spec, None)


def _with_weights(spec: TrainSpec, weights: str | None) -> TrainSpec:
    model: ModelSpec = spec.model.model_copy(update={"weights": weights})
    return spec.model_copy(update={"model": model})


def _facts(folder: Path, uri: str) -> dict[str, Any]:
    for place in (folder / "extra_files", folder, folder / "artifacts"):
        if (place / "model.json").is_file():
            facts: dict[str, Any] = json.loads((place / "model.json").read_text())
            return facts
    raise InputError.of(
        f"{uri} does not say what it takes (it has no model.json)",
        key=("model",),
        valid="a model that heliostat registered",
    )
