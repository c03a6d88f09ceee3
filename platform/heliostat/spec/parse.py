"""Plain values to a spec, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliostat.spec.explain import shown, validated
from heliostat.spec.jobs import EntrypointSpec, EvaluateSpec, PredictSpec, TrainSpec
from heliostat.spec.nearest import did_you_mean
from heliostat.spec.problems import InputError
from heliostat.spec.trials import read_train
from heliostat.spec.tune import TuneSpec

Spec = TrainSpec | EntrypointSpec | TuneSpec | PredictSpec | EvaluateSpec

_KINDS = ("train", "tune", "predict", "evaluate")


def parse(values: Mapping[str, Any]) -> Spec:
    """Return the spec that plain values (of YAML or JSON) hold; paths are taken as they are.

    Raises InputError with every mistake in them.
    """
    kind = values.get("kind")
    if kind == "train":
        return read_train(dict(values))
    if kind == "tune":
        return validated(TuneSpec, dict(values))
    if kind == "predict":
        return validated(PredictSpec, dict(values))
    if kind == "evaluate":
        return validated(EvaluateSpec, dict(values))
    message = "missing" if kind is None else f"unknown kind {shown(kind)}"
    raise InputError.of(message, key=("kind",), valid=did_you_mean(kind, _KINDS))


def dump(spec: Spec) -> dict[str, Any]:
    """Return `spec` as plain JSON values, defaults included, so that `parse(dump(s)) == s`."""
    return spec.model_dump(mode="json")
