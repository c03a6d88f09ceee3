"""The kind tune: a search for the values of some keys of a train spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from heliostat.spec.base import Model, wrong, wrong_here
from heliostat.spec.explain import shown, validated
from heliostat.spec.fields import models_at
from heliostat.spec.jobs import EntrypointSpec, Job, TrainSpec
from heliostat.spec.nearest import nearest
from heliostat.spec.overrides import assign, key_of
from heliostat.spec.problems import InputError, Key, Problem, dotted
from heliostat.spec.spaces import Space


def read_train(value: Any) -> TrainSpec | EntrypointSpec:
    """Return the train spec in `value`: of the built-in loop, or with an entrypoint.

    Raises InputError with every mistake in it.
    """
    if isinstance(value, TrainSpec | EntrypointSpec):
        return value
    if isinstance(value, dict) and "entrypoint" in value:
        return validated(EntrypointSpec, value)
    return validated(TrainSpec, value)


def _read_train(value: Any) -> TrainSpec | EntrypointSpec:
    try:
        return read_train(value)
    except InputError as error:
        raise wrong(*error.problems) from None


class Budget(Model):
    """What a search may cost; it ends when either is spent."""

    minutes: float | None = Field(default=None, gt=0)
    """Wall time."""
    epochs: int | None = Field(default=None, ge=1)
    """Of all trials together."""


class TuneSpec(Job):
    """A search: `search` says which keys of `train` vary, and over what."""

    kind: Literal["tune"]
    train: Annotated[TrainSpec | EntrypointSpec, BeforeValidator(_read_train)]
    search: dict[str, Space] = Field(
        min_length=1, examples=["{optimizer.lr: {loguniform: [1.0e-4, 1.0]}}"]
    )
    algorithm: Literal["random", "grid", "tpe", "gp", "quasi_random"] = "random"
    scheduler: Literal["none", "asha", "median", "hyperband", "pbt"] = "none"
    trials: int | None = Field(default=None, ge=1)
    """None: what the grid holds, or until the budget is spent."""
    concurrent: int | None = Field(default=None, ge=1)
    """Trials at a time; None: as many as there is room for."""
    budget: Budget = Budget()
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="before")
    @classmethod
    def _complete_train(cls, values: Any) -> Any:
        """Let the inline `train` leave out its kind, and its name where the search has one."""
        if not isinstance(values, dict) or not isinstance(values.get("train"), dict):
            return values
        defaults = {"kind": "train", **{k: values[k] for k in ("name",) if k in values}}
        return {**values, "train": {**defaults, **values["train"]}}

    @field_validator("search")
    @classmethod
    def _search_fits_train(cls, search: dict[str, Space], info: ValidationInfo) -> dict[str, Space]:
        train = info.data.get("train")
        if train is not None:
            problems = [p for key, space in search.items() for p in _misfits(train, key, space)]
            if problems:
                raise wrong(*problems)
        return search

    @field_validator("algorithm")
    @classmethod
    def _grid_is_all_grid(cls, algorithm: str, info: ValidationInfo) -> str:
        spaces = info.data.get("search", {})
        kinds = {space.kind for space in spaces.values()}
        if algorithm == "grid" and kinds - {"grid", "choice"}:
            raise wrong_here("grid needs a list of values at every key", "{grid: [value, value]}")
        return algorithm


def _misfits(train: TrainSpec | EntrypointSpec, text: str, space: Space) -> Iterator[Problem]:
    key, values = key_of(text), train.model_dump(mode="json")
    if not _exists(type(train), values, key):
        near = nearest(text, _keys(values, ()))
        message = f"train has no key {text}"
        yield Problem(message, (text,), f"did you mean {near}?" if near else "a key of train")
        return
    if key[-1] == "name" or space.when:  # other keys must change with it, so each trial is checked
        return
    for value in space.ends:
        try:
            assign(values, key, value)
            read_train(values)
        except InputError as error:
            first = error.problems[0]
            message = f"train does not allow {shown(value)}: {first.message}"
            yield Problem(message, (text,), first.valid)


def _exists(model: type[Model], values: Any, key: Key) -> bool:
    """Say whether `key` is in the train spec, could be, or is an argument of the user's code."""
    *parents, last = key
    if "args" in parents:
        parents, last = parents[: parents.index("args")], "args"
    if any(last in found.model_fields for found in models_at(model, tuple(parents))):
        return True
    return dotted(key) in _keys(values, ())


def _keys(values: Any, key: Key) -> Iterator[str]:
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for part, value in items:
        yield dotted((*key, part))
        if isinstance(value, dict | list):
            yield from _keys(value, (*key, part))
