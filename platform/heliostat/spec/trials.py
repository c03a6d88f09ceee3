"""A trial's train spec: the search's, with the trial's values put in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from heliostat.spec.explain import validated
from heliostat.spec.fields import models_at
from heliostat.spec.jobs import EntrypointSpec, TrainSpec
from heliostat.spec.overrides import assign, key_of
from heliostat.spec.problems import Key


def read_train(value: Any) -> TrainSpec | EntrypointSpec:
    """Return the train spec in `value`: of the built-in loop, or with an entrypoint.

    Raises InputError with every mistake in it.
    """
    if isinstance(value, TrainSpec | EntrypointSpec):
        return value
    if isinstance(value, dict) and "entrypoint" in value:
        return validated(EntrypointSpec, value)
    return validated(TrainSpec, value)


def with_values(train: TrainSpec | EntrypointSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of `train` with `values` (by dotted key) in place of its own.

    Where `values` name another optimizer or schedule (`optimizer.name`), what `train` says of its
    own is kept as far as the other one has such keys: those it lacks are dropped, and those that
    `train` leaves at their defaults get the other one's. Nothing is validated. Raises InputError
    where a key leads into a plain value, or to an item that a list lacks.
    """
    plain = train.model_dump(mode="json")
    for text, value in values.items():
        *holder, last = key_of(text)
        variant = _variant(train, tuple(holder), value) if last == "name" else None
        if variant is not None:
            assign(plain, tuple(holder), variant)
    for text, value in values.items():
        assign(plain, key_of(text), value)
    return plain


def _variant(train: BaseModel, key: Key, name: Any) -> dict[str, Any] | None:
    """Return what `train` says at `key` that the alternative `name` has, or None: it is none."""
    current = _value_at(train, key)
    found = models_at(type(train), (*key, name)) if isinstance(name, str) else []
    if not found or not isinstance(current, BaseModel) or isinstance(current, found[0]):
        return None
    given = current.model_dump(mode="json", exclude_defaults=True)
    kept = {field: value for field, value in given.items() if field in found[0].model_fields}
    return {**kept, "name": name}


def _value_at(value: Any, key: Key) -> Any:
    for part in key:
        value = getattr(value, str(part), None)
    return value
