"""Pydantic's errors as problems that a person can read and mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from heliostat.spec.base import WRONG
from heliostat.spec.fields import alternatives, example, valid_keys
from heliostat.spec.nearest import did_you_mean, nearest
from heliostat.spec.problems import InputError, Key, Problem

M = TypeVar("M", bound=BaseModel)

_FOLLOWS_FROM_ANOTHER = "default_factory_not_called"

_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_RANGES = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


def validated(model: type[M], values: Any) -> M:
    """Return `values` as a `model`.

    Raises InputError with every mistake in them; its keys are relative to `values`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    raise InputError(problem for detail in details for problem in _problems(detail, values, model))


def shown(value: Any) -> str:
    """Return `value` as a message names it: short, and in YAML's words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _problems(detail: ErrorDetails, values: Any, model: type[BaseModel]) -> Iterator[Problem]:
    key = _key(detail, values)
    if detail["type"] == _FOLLOWS_FROM_ANOTHER:
        return
    if detail["type"] == WRONG:
        for problem in detail["ctx"]["problems"]:
            yield Problem(problem.message, key + problem.key, problem.valid)
        return
    if detail["type"].startswith("union_tag"):
        yield _tag_problem(detail, key, alternatives(model, detail["loc"]))
        return
    message, valid = _words(detail, key, model)
    yield Problem(message, key, valid)


def _key(detail: ErrorDetails, values: Any) -> Key:
    """Return the error's place as a key of `values`: pydantic's has tags of alternatives in it."""
    key: list[str | int] = []
    for part in detail["loc"]:
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list | tuple) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        else:
            continue
        key.append(part)
    if detail["type"] == "missing":
        key.append(detail["loc"][-1])
    return tuple(key)


def _tag_problem(detail: ErrorDetails, key: Key, names: list[str]) -> Problem:
    tag = detail["ctx"].get("tag")
    message = "missing" if tag is None else f"unknown {key[-1]} {tag!r}"
    return Problem(message, (*key, "name"), did_you_mean(tag, names))


def _words(detail: ErrorDetails, key: Key, model: type[BaseModel]) -> tuple[str, str]:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "missing":
        return "missing", example(model, detail["loc"])
    if kind == "extra_forbidden":
        return "unknown key", _valid_key(key[-1], valid_keys(model, detail["loc"][:-1]))
    if kind in _TYPES:
        hint = _type_hint(kind, value) or example(model, detail["loc"])
        return f"must be {_TYPES[kind]}, not {shown(value)}", hint
    if kind in _RANGES:
        limits = {k: v if isinstance(v, int) else f"{v:g}" for k, v in context.items()}
        return f"{shown(value)} is out of range", _RANGES[kind].format(**limits)
    if kind == "literal_error":
        return _literal_words(value, context["expected"], key)
    if kind == "string_too_short":
        return "must not be empty", ""
    if kind == "too_short" and not value:
        return "must not be empty", ""
    if kind == "finite_number":
        return f"must be a finite number, not {shown(value)}", ""
    message = str(detail["msg"])
    return message[:1].lower() + message[1:], ""


def _valid_key(name: str | int, names: list[str]) -> str:
    near = nearest(name, names)
    if near:
        return f"did you mean {near}?"
    return f"one of {', '.join(names)}" if names else "there are none here"


def _type_hint(kind: str, value: Any) -> str:
    if kind == "string_type" and not isinstance(value, dict | list | None):
        return f'quote it: "{shown(value)}"'
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kind in {"int_type", "float_type"} and isinstance(value, str) and _is_number(value):
        return "without quotes"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _literal_words(value: Any, expected: str, key: Key) -> tuple[str, str]:
    names = re.findall(r"'([^']*)'", expected)
    noun = next((part for part in reversed(key) if isinstance(part, str)), "value")
    if names and isinstance(value, str):
        return f"unknown {noun} {value!r}", did_you_mean(value, names)
    return f"{shown(value)} is not allowed", f"one of {', '.join(names)}" if names else expected
