"""Walks the models of a spec along a key, without a value: which keys could stand there?"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from heliostat.spec.problems import Key


def models_at(model: type[BaseModel], key: Key, *, tags: bool = True) -> list[type[BaseModel]]:
    """Return the models that a value at `key` below `model` may have.

    Several where alternatives exist (optimizers), none where `key` leads to a plain value or to
    nothing. With `tags`, a part of `key` may be the tag of an alternative, as in pydantic's
    locations, and is taken for it where another alternative has a field of that name.
    """
    found = [model]
    for part in key:
        if isinstance(part, int):  # an item of a list is of the models that the list's field has
            continue
        fields = [m.model_fields[part] for m in found if part in m.model_fields]
        tagged = [m for m in found if _tag(m) == part] if tags else []
        found = tagged or [m for f in fields for m in _models_in(f.annotation)]
    return found


def valid_keys(model: type[BaseModel], key: Key) -> list[str]:
    """Return the keys that a mapping at `key` below `model` may have, sorted."""
    return sorted({name for found in models_at(model, key) for name in found.model_fields})


def example(model: type[BaseModel], key: Key) -> str:
    """Return what the field at `key` may look like, or nothing where it doesn't say."""
    if not key:
        return ""
    *parents, name = key
    for found in models_at(model, tuple(parents)):
        field = found.model_fields.get(str(name))
        if field is not None and field.examples:
            return f"such as {name}: {field.examples[0]}"
    return ""


def alternatives(model: type[BaseModel], key: Key) -> list[str]:
    """Return the names of the alternatives at `key` below `model`, such as its optimizers."""
    return sorted(filter(None, map(_tag, models_at(model, key))))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _tag(model: type[BaseModel]) -> str | None:
    name = model.model_fields.get("name")
    tags = get_args(name.annotation) if name is not None else ()
    return tags[0] if tags else None
