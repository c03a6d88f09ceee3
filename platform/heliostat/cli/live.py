"""The display in a terminal: finished phases and notes scroll by, the running one moves below."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from heliostat.cli.search_view import search_view
from heliostat.cli.trials import state
from heliostat.cli.wording import details, duration, position
from heliostat.runtime.events import Event, Note, Phase, Progress, SearchProgress


@contextmanager
def live_display(stream: TextIO, clock: Callable[[], float]) -> Iterator[Callable[[Event], None]]:
    """Show events on the terminal `stream` until the block ends."""
    console = Console(file=stream, get_time=clock, highlight=False)
    view = LiveView(console)
    live = Live(console=console, get_renderable=view.render, refresh_per_second=8, transient=True)
    with live:
        try:
            yield view.show
        finally:
            view.close()


class LiveView:
    """The state of the display, and how it looks.

    A phase that is over scrolls by with its time, unless it had progress: those take turns
    (training, evaluating, training…), and only the newest progress stays at the end. A search
    leaves a line with its best trial.
    """

    def __init__(self, console: Console) -> None:
        """Print what is over on `console`, whose `get_time` is the clock."""
        self._console = console
        self._spinner = Spinner("dots")
        self._phase: str | None = None
        self._since = console.get_time()
        self._progress: Progress | SearchProgress | None = None
        self._newest: Progress | None = None
        self._lock = Lock()

    def show(self, event: Event) -> None:
        """Take `event` in; may be called from any thread."""
        with self._lock:
            lines = self._take(event)
        # Outside our lock: rich takes its own here, and holds it when it calls `render`.
        for line in lines:
            self._console.print(line)

    def render(self) -> RenderableType:
        """Return the running phase with its time, and its progress below."""
        with self._lock:
            phase, since, progress = self._phase, self._since, self._progress
        if phase is None:
            return Text()
        self._spinner.update(text=Text(f"{phase}  {duration(self._console.get_time() - since)}"))
        if isinstance(progress, SearchProgress):
            return Group(self._spinner, search_view(progress, self._console.size.height))
        return Group(self._spinner, _progress(progress)) if progress else self._spinner

    def close(self) -> None:
        """Print how far the work came, and the last phase."""
        with self._lock:
            lines = [Text(_in_a_line(self._newest))] if self._newest else []
            lines += self._finished()
            self._phase = None
        for line in lines:
            self._console.print(line)

    def _take(self, event: Event) -> list[Text]:
        """Change the state and return the lines that scroll by."""
        match event:
            case Phase(text) if text != self._phase:
                lines = self._finished()
                self._phase, self._progress = text, None
                self._since = self._console.get_time()
                return lines
            case Note(text):
                return [Text(text)]
            case Progress():
                self._progress = self._newest = event
            case SearchProgress():
                self._progress = event
        return []

    def _finished(self) -> list[Text]:
        if isinstance(self._progress, SearchProgress):
            return [Text(state(self._progress))]
        if self._phase is None or self._progress is not None:
            return []
        took = duration(self._console.get_time() - self._since)
        return [Text(f"{self._phase}  {took}", "dim")]


def _in_a_line(progress: Progress) -> str:
    return ", ".join([position(progress), *details(progress)])


def _progress(progress: Progress) -> RenderableType:
    """Return a bar with the position beside it, and the figures in a line below."""
    bar = ProgressBar(
        total=progress.total_steps or None,
        completed=progress.step,
        width=30,
        pulse=not progress.total_steps,
    )
    above = Table.grid(padding=(0, 1))
    above.add_row(Text(" "), bar, Text(position(progress)))
    return Group(above, Text("  " + " · ".join(details(progress))))
