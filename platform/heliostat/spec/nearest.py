"""The words a person may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: object, names: Iterable[str]) -> str | None:
    """Return the one of `names` that looks most like `word`, or None where none is near."""
    found = get_close_matches(str(word).lower(), list(names), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """Return what would be valid: the nearest of `names`, then all of them.

    >>> did_you_mean("sdg", ["sgd", "adam"])
    'did you mean sgd? one of adam, sgd'
    """
    names = sorted(names)
    near = nearest(word, names)
    valid = f"one of {', '.join(names)}" if names else "there is none"
    return f"did you mean {near}? {valid}" if near else valid
