"""Ending a leg of a search in its middle, because the search is over."""

from __future__ import annotations

from pathlib import Path

STOP = "stop"
"""A file in a search's folder: while it is there, no leg goes on."""


class Stopped(Exception):
    """The leg was told to end; its newest checkpoint is where the trial can go on from."""


def end_if_told(stop: Path | None) -> None:
    """Raise Stopped where the file `stop` is there."""
    if stop is not None and stop.exists():
        raise Stopped("the search was ended")
