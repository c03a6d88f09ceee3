"""A registered model on this machine: its files, what it takes and what it gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliostat.runtime.home import home
from heliostat.spec import InputError, ModelSpec, TrainSpec
from heliostat.tracking.server import TrackingAway, is_unused, tracking_uri


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

    @property
    def images(self) -> tuple[int, int, int] | None:
        """(channels, height, width) where the model takes images as they are stored."""
        if self.dtype != "uint8" or len(self.shape) != 3:
            return None
        channels, height, width = self.shape
        return channels, height, width


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
        folder = download(uri, resolved, home() / "cache" / "models" / resolved.model_id)
    except InputError as error:
        raise error.under(*at) from error
    except TrackingAway as away:
        raise InputError.of(str(away), key=at, valid="try again when it answers") from away
    facts = _facts(folder, resolved.uri)
    return LocalModel(
        uri=resolved.uri,
        name=resolved.name,
        version=resolved.version,
        run_id=resolved.run_id,
        folder=str(folder),
        classes=tuple(facts["classes"]),
        shape=tuple(facts["input"]["shape"][1:]),
        dtype=facts["input"]["dtype"],
    )


def with_local_weights(spec: TrainSpec) -> TrainSpec:
    """Return the spec with `model.weights` as a file here, where it names a registered model."""
    weights = spec.model.weights
    if weights is None or not weights.startswith("models:"):
        return spec
    from heliostat.tracking.models import weights_file

    folder = Path(fetch_model(weights, key="model.weights").folder)
    return _with_weights(spec, str(weights_file(folder)))


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
