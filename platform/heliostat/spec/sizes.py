"""Sizes of images."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from heliostat.spec.base import wrong_here


def read_size(value: Any) -> tuple[int, int]:
    """Return (height, width) in pixels from `28` or `[28, 32]`."""
    sides = (value, value) if _is_side(value) else value
    if isinstance(sides, (list, tuple)) and len(sides) == 2 and all(map(_is_side, sides)):
        return (sides[0], sides[1])
    raise wrong_here(f"{value!r} is not a size in pixels", "such as 32, or [height, width]")


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


Size = Annotated[tuple[int, int], BeforeValidator(read_size)]
"""(height, width) in pixels."""
