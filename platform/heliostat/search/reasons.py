"""Whether two failures are the same."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def kind_of_failure(verdict: str, message: str) -> tuple[str, str]:
    """Return what failures of one kind have in common: the verdict and the message's last line
    (of a traceback, the error itself), its numbers left out: steps, sizes and addresses differ.
    """
    return verdict, _NUMBER.sub("#", last_line(message))


def last_line(message: str) -> str:
    """Return the last line of `message` that says something."""
    lines = message.strip().splitlines()
    return lines[-1].strip() if lines else ""
