from __future__ import annotations

import io
from threading import Thread

import pytest
from rich.console import Console

from heliostat.cli.display import focused, watching
from heliostat.cli.live import LiveView
from heliostat.cli.plain import PlainDisplay
from heliostat.runtime.events import Note, Phase, Progress

METRICS = {"val/accuracy": 0.5, "train/loss": 1.25}


class Clock:
    """A clock that is set by hand, in seconds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def step(number: int) -> Progress:
    return Progress(number, 1075, 2, 5, METRICS, 1234.5, 83.0)


def test_without_a_terminal_progress_is_a_line_every_five_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainDisplay(stream, clock)
    display.show(Phase("training"))
    for second in range(12):
        clock.now = 100.0 + second
        display.show(step(second))
    display.close()

    figures = "train/loss 1.250, val/accuracy 0.5000, 1,234 images/s, 1:23 left"
    line = f"training: epoch 2/5, step {{}}/1,075, {figures}"
    assert stream.getvalue().splitlines() == [
        "[0:00] training",
        f"[0:00] {line.format(0)}",
        f"[0:05] {line.format(5)}",
        f"[0:10] {line.format(10)}",
        f"[0:11] {line.format(11)}",
    ]


def test_phases_that_take_turns_have_a_line_once_and_are_named_by_their_progress() -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainDisplay(stream, clock)
    for epoch in range(1, 4):
        for phase in ("training", "evaluating on val"):
            display.show(Phase(phase))
            display.show(Progress(epoch, 3))
            clock.now += 2
    display.show(Phase("packaging the model"))

    assert stream.getvalue().splitlines() == [
        "[0:00] training",
        "[0:00] training: 1/3",
        "[0:02] evaluating on val",
        "[0:02] evaluating on val: 1/3",
        "[0:08] training: 3/3",
        "[0:12] evaluating on val: 3/3",
        "[0:12] packaging the model",
    ]


def test_a_phase_that_is_told_again_is_written_once_and_a_note_whenever_it_comes() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream, Clock())
    for _ in range(2):
        display.show(Phase("starting workers"))
        display.show(Note("a line of a cluster's log"))

    assert stream.getvalue().splitlines() == [
        "[0:00] starting workers",
        "[0:00] a line of a cluster's log",
        "[0:00] a line of a cluster's log",
    ]


def test_of_many_metrics_the_loss_and_the_objective_are_shown() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream, Clock())
    many = {"train/learning_rate": 0.1, **METRICS, "val/f1/0": 0.3, "val/top5": 0.9, "val/f1": 0.4}
    focused(display.show, "val/f1")(Progress(1, 9, metrics=many))

    assert stream.getvalue() == "[0:00] 1/9, train/loss 1.250, val/f1 0.4000\n"


@pytest.fixture
def screen() -> Console:
    return Console(file=Terminal(), force_terminal=True, width=100, record=True, get_time=Clock())


def seen(screen: Console) -> str:
    """Return what the screen showed since the last look, without colours."""
    lines = screen.export_text().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def test_a_terminal_shows_phase_bar_position_metrics_speed_and_time_left(screen: Console) -> None:
    view = LiveView(screen)
    view.show(Phase("training"))
    view.show(step(340))
    screen.get_time.now += 61
    screen.print(view.render())

    phase, bar, figures = seen(screen).splitlines()
    assert phase.endswith("training  1:01")
    assert bar.lstrip().startswith("━━━")
    assert bar.endswith("epoch 2/5, step 340/1,075")
    assert figures == "  train/loss 1.250 · val/accuracy 0.5000 · 1,234 images/s · 1:23 left"


def test_what_is_over_scrolls_by_with_the_time_it_took(screen: Console) -> None:
    view = LiveView(screen)
    view.show(Phase("starting Ray"))
    view.show(Note("log: [/tmp/ray.log]"))
    screen.get_time.now += 9
    for phase in ("training", "evaluating", "training"):
        view.show(Phase(phase))
        view.show(Progress(9, 9))
    view.show(Phase("recording"))
    view.close()

    assert seen(screen).splitlines() == [
        "log: [/tmp/ray.log]",
        "starting Ray  0:09",
        "9/9",
        "recording  0:00",
    ]


def test_events_from_several_threads_all_arrive_on_a_live_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()

    with watching(terminal) as show:
        threads = [
            Thread(target=lambda n=n: [show(Note(f"note {n}.{i}")) for i in range(20)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for n in range(4):
        for i in range(20):
            assert f"note {n}.{i}\n" in terminal.getvalue()


@pytest.mark.parametrize(
    ("stream", "term", "animated"),
    [(io.StringIO(), "xterm", True), (Terminal(), "dumb", True), (Terminal(), "xterm", False)],
    ids=["no terminal", "dumb terminal", "a job in this process"],
)
def test_lines_are_plain_where_a_display_can_not_or_must_not_move(
    stream: io.StringIO, term: str, animated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    with watching(stream, animated=animated, clock=Clock()) as show:
        show(Phase("loading data"))

    assert stream.getvalue() == "[0:00] loading data\n"
