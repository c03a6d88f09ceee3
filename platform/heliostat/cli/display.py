"""What a running job looks like: live in a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO

from heliostat.cli.plain import PlainDisplay
from heliostat.runtime.events import Event, Progress

Show = Callable[[Event], None]
"""Takes one event; may be called from any thread."""


@contextmanager
def watching(
    stream: TextIO, *, animated: bool = True, clock: Callable[[], float] = time.monotonic
) -> Iterator[Show]:
    """Show events on `stream` until the block ends; `clock` gives seconds.

    `animated=False` is for a job in this process: a debugger's prompt needs a quiet terminal.
    """
    if animated and stream.isatty() and os.environ.get("TERM") != "dumb":
        # rich costs 0.1 s, which nobody but a terminal needs to pay.
        from heliostat.cli.live import live_display

        with live_display(stream, clock) as show:
            yield show
        return
    plain = PlainDisplay(stream, clock)
    try:
        yield plain.show
    finally:
        plain.close()


def focused(show: Show, objective: str) -> Show:
    """Return a `show` to which, of many metrics, only the loss and the objective get through."""

    def show_focused(event: Event) -> None:
        if isinstance(event, Progress):
            wanted = [name for name in ("train/loss", objective) if name in event.metrics]
            if wanted:
                event = replace(event, metrics={name: event.metrics[name] for name in wanted})
        show(event)

    return show_focused
