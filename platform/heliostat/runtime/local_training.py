"""Training in this very process: no Ray, one rank, and a breakpoint works."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from heliostat.runtime import environment, stop_sign
from heliostat.runtime.events import Event
from heliostat.runtime.job import Job
from heliostat.runtime.worker import make_importable
from heliostat.spec import EntrypointSpec, TrainSpec


def run_here(
    job: Job,
    spec: TrainSpec | EntrypointSpec,
    attempt: int,
    *,
    watch: Callable[[], None],
    show: Callable[[Event], None],
) -> BaseException | None:
    """Train in the main thread; return what was raised, or None when it finished.

    `watch` is called several times a second from a thread beside it. Raises KeyboardInterrupt
    where Ctrl-C or a SIGTERM stopped it: after a last checkpoint, or at the second signal at once.
    """
    from heliostat.training.context import Context, choose_device
    from heliostat.training.process import train
    from heliostat.training.reporter import Reporter
    from heliostat.training.stopping import Stopped

    make_importable(str(job.code))
    environment.apply(spec.env)
    device = choose_device(0, gpus=spec.resources.gpus_per_worker)
    with _watching(watch), _signals(job, attempt, show) as told:
        context = Context(
            folder=job.folder,
            reporter=Reporter(job.folder, attempt=attempt),
            device=device,
            attempt=attempt,
            stop=told,
        )
        try:
            train(spec, context, code=job.code)
        except Stopped as stopped:
            raise KeyboardInterrupt from stopped
        except (Exception, SystemExit) as error:  # the user's code may call sys.exit
            return error
    return None


@contextmanager
def _signals(job: Job, attempt: int, show: Callable[[Event], None]) -> Iterator[Callable[[], bool]]:
    """Give what says whether a signal told this process to stop; the second one interrupts it.

    So does the first where no step is done yet, which a checkpoint could keep.
    """
    told, process = threading.Event(), os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() != process:
            _in_a_fork(number)
        elif told.is_set() or not stop_sign.has_begun(job.folder, attempt):
            raise KeyboardInterrupt
        else:
            told.set()
            show(stop_sign.STOPPING)

    if threading.current_thread() is not threading.main_thread():
        yield told.is_set
        return
    # A shell's background jobs ignore Ctrl-C, which is for the one in the foreground.
    numbers = [n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _in_a_fork(number: int) -> None:
    """Do in a process that reads ahead what the signal does to any other.

    But not for Ctrl-C, which a terminal sends to it too: its batches are wanted up to the end.
    """
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


@contextmanager
def _watching(watch: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(0.2):
            watch()

    thread = threading.Thread(target=poll, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
