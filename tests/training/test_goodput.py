"""The stopwatch that is always in exactly one state."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from heliostat.training.goodput import Stopwatch, reached_before
from heliostat.training.journal import Journal


class Clock:
    """A clock that goes on by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def spent(watch: Stopwatch) -> dict[str, float]:
    return {state: seconds for state, seconds in watch.seconds().items() if seconds}


def train(watch: Stopwatch, clock: Clock, steps: int, *, read: float, work: float) -> None:
    """Take `steps` steps of `work` seconds, each of a batch that is read in `read` seconds."""

    def batches() -> Generator[int, None, None]:
        for number in range(steps):
            clock.now += read
            yield number

    for _ in watch.batches(batches()):
        clock.now += work
        watch.step_done(watch.step + 1)


def test_the_states_add_up_to_all_seconds_since_the_start() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock, began=clock.now - 7)
    train(watch, clock, 3, read=1, work=10)
    with watch.during("evaluated"):
        clock.now += 5
        with watch.during("waited_on_checkpoints"):
            clock.now += 2
    clock.now += 4
    assert spent(watch) == {
        "started_up": 7 + 1 + 10,  # up to the end of the first step
        "waited_for_data": 2,
        "trained": 20 + 4,
        "evaluated": 5,
        "waited_on_checkpoints": 2,
    }
    assert sum(watch.seconds().values()) == clock.now - 100 + 7


def test_steps_that_an_earlier_attempt_had_done_are_repeated_and_those_beyond_are_trained() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock)
    watch.goes_on_from(10, reached=13)
    train(watch, clock, 5, read=0, work=10)
    # Step 11 ends the start; 12 and 13 had been done before; 14 and 15 had not.
    assert spent(watch) == {"started_up": 10, "repeated": 20, "trained": 20}


def test_a_reader_that_is_left_early_is_closed_and_its_time_counted() -> None:
    clock, closed = Clock(), []
    watch = Stopwatch(clock=clock)

    def batches() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    for _ in watch.batches(batches()):
        watch.step_done(1)
        break
    assert closed == [True]
    assert watch.state == "trained"


def test_seconds_in_which_nothing_moved_are_no_training_once_that_is_found() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock)
    watch.step_done(1)
    clock.now += 50
    assert watch.stand_still(30) == "trained"
    clock.now += 5
    watch.step_done(2)
    clock.now += 7
    assert spent(watch) == {"trained": 20 + 7, "stood_still": 35}


def test_every_change_and_every_sign_of_life_is_a_move() -> None:
    watch = Stopwatch(clock=Clock())
    watch.move()
    watch.enter("evaluated")
    assert watch.moves == 2


def test_what_earlier_attempts_had_reached_is_found_in_the_journal(tmp_path: Path) -> None:
    for attempt, step in ((1, 40), (2, 30), (3, 99)):
        journal = Journal(tmp_path / "journal", attempt=attempt, rank=0)
        journal.write("metric", name="train/loss", step=step, value=1.0)
        journal.write("metric", name="system/rank_0/cpu", step=5000, value=1.0)
        journal.close()
    assert reached_before(tmp_path, 1) == 0
    assert reached_before(tmp_path, 3) == 40
    journal = Journal(tmp_path / "journal", attempt=1, rank=1)
    journal.write("event", name="goodput", step=44, moves=3, seconds={}, final=False)
    journal.close()
    assert reached_before(tmp_path, 3) == 44
