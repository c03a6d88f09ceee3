"""Environment variables of a job's workers; credentials by reference only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from heliostat.spec.base import Model, wrong
from heliostat.spec.explain import shown, validated
from heliostat.spec.problems import InputError, Problem

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|APIKEY|CREDENTIALS?)$|^KEY$")
"""Of a word between underscores: HF_TOKEN and AWS_SECRET_ACCESS_KEY, not TOKENIZERS_PARALLELISM."""


class Secret(Model):
    """A credential, by the name under which it is kept."""

    secret: str = Field(min_length=1, examples=["hf"])


def _read_env(value: Any) -> dict[str, str | Secret]:
    if not isinstance(value, dict):
        raise wrong(Problem(f"must be a mapping, not {shown(value)}", valid='such as {FLAG: "1"}'))
    problems = [p for name, given in value.items() for p in _problems(name, given)]
    if problems:
        raise wrong(*problems)
    return {k: validated(Secret, v) if isinstance(v, dict) else v for k, v in value.items()}


def _problems(name: str, value: Any) -> Iterator[Problem]:
    if not _VARIABLE.fullmatch(name):
        yield Problem("is not a variable's name", (name,), "letters, digits and `_`")
    if isinstance(value, Secret):
        return
    if isinstance(value, dict):
        try:
            validated(Secret, value)
        except InputError as error:
            yield from error.under(name).problems
    elif any(_CREDENTIAL.search(word) for word in name.upper().split("_")):
        yield Problem("a credential in plain text", (name,), "{secret: NAME}")
    elif not isinstance(value, str):
        message = f"must be text or {{secret: NAME}}, not {shown(value)}"
        yield Problem(message, (name,), "" if value is None else f'quote it: "{shown(value)}"')


Env = Annotated[dict[str, str | Secret], BeforeValidator(_read_env)]
"""Variables by name: their text, or the name of a secret."""
