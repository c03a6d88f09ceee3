"""Training in this very process: no Ray, one rank, and a breakpoint works."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from heliostat.runtime import environment, stop_sign
from heliostat.runtime.events import Event, Note
from heliostat.runtime.job import Job
from heliostat.runtime.worker import make_importable
from heliostat.spec import EntrypointSpec, TrainSpec
from heliostat.training.stalling import StalledError


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
    began = time.monotonic()
    from heliostat.training.context import Context, choose_device
    from heliostat.training.goodput import Stopwatch
    from heliostat.training.process import train
    from heliostat.training.reporter import Reporter
    from heliostat.training.stopping import Stopped

    make_importable(str(job.code))
    environment.apply(spec.env)
    device = choose_device(0, gpus=spec.resources.gpus_per_worker)
    stall = _Stall(job, show)
    with _watching(watch), _signals(job, attempt, show, stall) as told, stall.ending():
        context = Context(
            folder=job.folder,
            reporter=Reporter(job.folder, attempt=attempt),
            device=device,
            attempt=attempt,
            stop=told,
            stopwatch=Stopwatch(began=began),
            end_stalled=stall.end,
        )
        try:
            train(spec, context, code=job.code)
        except Stopped as stopped:
            raise KeyboardInterrupt from stopped
        except (Exception, SystemExit) as error:  # the user's code may call sys.exit
            return error
    return None


class _Stall:
    """Ends this process's training when it stands still: by an exception in the main thread.

    What waits in Python is interrupted by a signal. What does not come back to Python within twenty
    seconds takes the process with it, once the job's folder says why.
    """

    def __init__(self, job: Job, show: Callable[[Event], None]) -> None:
        self._job = job
        self._show = show
        self._main = threading.current_thread()
        self._ended = threading.Event()
        self.found: str | None = None

    @contextmanager
    def ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._ended.set()

    def end(self, message: str) -> None:
        """End it, from another thread; `message` says where it stands."""
        if self._main is not threading.main_thread() or self._main.ident is None:
            return
        self.found = message
        signal.pthread_kill(self._main.ident, signal.SIGTERM)
        threading.Thread(target=self._leave, args=(message,), daemon=True).start()

    def _leave(self, message: str) -> None:
        if not self._ended.wait(_LEAVE_SECONDS):
            error = {"verdict": "stalled", "message": message}
            self._job.end(status="FAILED", error=error, metrics={})
            self._show(Note(message))
            os._exit(1)


_LEAVE_SECONDS = 20.0


@contextmanager
def _signals(
    job: Job, attempt: int, show: Callable[[Event], None], stall: _Stall
) -> Iterator[Callable[[], bool]]:
    """Give what says whether a signal told this process to stop; the second one interrupts it.

    So does the first where no step is done yet, which a checkpoint could keep.
    """
    told, process = threading.Event(), os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() != process:
            _in_a_fork(number)
        elif stall.found is not None and number == signal.SIGTERM:
            raise StalledError(stall.found)
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
