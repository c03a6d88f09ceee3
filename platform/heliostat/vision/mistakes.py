"""What a caller asked for and cannot have, told apart from an exception inside the user's code.

Each is also the builtin exception that a Python programmer expects, so that a notebook may catch
`LookupError`, while the platform catches `Mistake` and lets the user's own errors through.
"""

from __future__ import annotations


class Mistake(Exception):
    """The request cannot be met; `str()` is one line that says why and what would be valid."""


class UnknownName(Mistake, LookupError):
    """No model or task has this name."""


class WrongArguments(Mistake, TypeError):
    """The callable doesn't take these arguments."""


class WrongValue(Mistake, ValueError):
    """An argument's value doesn't fit the model or the data."""


class WrongTargets(Mistake, ValueError):
    """The data's targets are not what the task learns."""
