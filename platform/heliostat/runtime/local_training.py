"""Training in this very process: no Ray, one rank, and a breakpoint works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from heliostat.runtime import environment
from heliostat.runtime.job import Job
from heliostat.runtime.worker import make_importable
from heliostat.spec import EntrypointSpec, TrainSpec


def run_here(
    job: Job, spec: TrainSpec | EntrypointSpec, attempt: int, *, watch: Callable[[], None]
) -> BaseException | None:
    """Train in the main thread; return what was raised, or None when it finished.

    `watch` is called several times a second from a thread beside it.
    """
    from heliostat.training.context import Context, choose_device
    from heliostat.training.process import train
    from heliostat.training.reporter import Reporter

    make_importable(str(job.code))
    environment.apply(spec.env)
    device = choose_device(0, gpus=spec.resources.gpus_per_worker)
    context = Context(
        folder=job.folder,
        reporter=Reporter(job.folder, attempt=attempt),
        device=device,
        attempt=attempt,
    )
    with _watching(watch):
        try:
            train(spec, context, code=job.code)
        except (Exception, SystemExit) as error:  # the user's code may call sys.exit
            return error
    return None


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
