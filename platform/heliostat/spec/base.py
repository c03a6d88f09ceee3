"""What all parts of a spec have in common: frozen, strict, no unknown keys; and names in them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from heliostat.spec.problems import Key, Problem

WRONG = "heliostat"
"""The type of the pydantic errors that carry problems of ours."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
LEGAL_NAME = "letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 100"
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class Model(BaseModel):
    """A part of a spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def wrong(*problems: Problem) -> PydanticCustomError:
    """Return the error that a pydantic validator raises; keys are relative to the value it saw."""
    text = "; ".join(problem.message for problem in problems)
    return PydanticCustomError(WRONG, "{text}", {"text": text, "problems": problems})


def wrong_here(message: str, valid: str = "", *, key: Key = ()) -> PydanticCustomError:
    """Return the error of a single problem."""
    return wrong(Problem(message, key, valid))


def finite(values: Any) -> Any:
    """Return free-form values (arguments of the user's own code) if JSON can hold them.

    Infinities and NaN it cannot: they would reach the workers as null.
    """
    problems = [Problem("must be a finite number", key) for key in _not_finite(values, ())]
    if problems:
        raise wrong(*problems)
    return values


def is_import_path(text: str) -> bool:
    """Say whether `text` names a thing of the user's own: `package.module:name`."""
    return _IMPORT_PATH.fullmatch(text) is not None


def _not_finite(values: Any, key: Key) -> Iterator[Key]:
    if isinstance(values, float) and not math.isfinite(values):
        yield key
    elif isinstance(values, dict | list):
        items = values.items() if isinstance(values, dict) else enumerate(values)
        for part, value in items:
            yield from _not_finite(value, (*key, part))


def is_legal_name(text: str) -> bool:
    """Say whether `text` may name a job: it becomes a folder's name, and a part of URIs."""
    return _NAME.fullmatch(text) is not None


def _legal_name(text: str) -> str:
    if not is_legal_name(text):
        raise wrong_here(f"{text!r} is not a legal name", LEGAL_NAME)
    return text


def _import_path(text: str) -> str:
    if not is_import_path(text):
        raise wrong_here(f"{text!r} is not an import path", "write package.module:name")
    if ".py:" in text:
        raise wrong_here(f"{text!r} names a file", f"the module, {text.replace('.py:', ':')}")
    return text


def _known_or_import_path(text: str) -> str:
    return _import_path(text) if ":" in text or not text else text


Arguments = Annotated[dict[str, Any], AfterValidator(finite)]
"""Keyword arguments of the user's own code: any plain values."""

Name = Annotated[str, AfterValidator(_legal_name)]
"""A name that is legal as a folder, a Ray name and an MLflow registered model."""

ImportPath = Annotated[str, AfterValidator(_import_path)]
"""`package.module:name`, of the user's own code."""

KnownOrImportPath = Annotated[str, AfterValidator(_known_or_import_path)]
"""A name that heliostat knows (which ones is not this room's business), or an import path."""
