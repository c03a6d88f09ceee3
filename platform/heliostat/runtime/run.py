"""`helio run`: a spec of any kind, from here to its outcome."""

from __future__ import annotations

from collections.abc import Callable

from heliostat.runtime.events import Event
from heliostat.runtime.job import Job
from heliostat.runtime.outcome import Outcome
from heliostat.spec import (
    Document,
    EntrypointSpec,
    EvaluateSpec,
    InputError,
    PredictSpec,
    TrainSpec,
    TuneSpec,
)


def run(
    document: Document, *, local: bool, cluster: str | None, show: Callable[[Event], None]
) -> Outcome:
    """Run the spec to its end, on `cluster` (its dashboard's address) or on this machine's Ray.

    `local` means in this process, without Ray. Raises InputError, with its places in the file,
    where the input was wrong.
    """
    try:
        if cluster is not None:
            from heliostat.runtime.cluster.remote_run import run_there

            return run_there(document, cluster=cluster, show=show)
        return _run_here(document, local=local, show=show)
    except InputError as error:
        raise document.locate(error) from error


def _run_here(document: Document, *, local: bool, show: Callable[[Event], None]) -> Outcome:
    spec = document.spec
    if isinstance(spec, TuneSpec):
        if local:
            raise InputError.of(
                "a search runs its trials in processes of Ray's",
                key=("kind",),
                valid="run it without --local, or its train spec with it",
            )
        from heliostat.runtime.search_job import run_search

        return run_search(document, show=show)
    if isinstance(spec, PredictSpec | EvaluateSpec):
        from heliostat.runtime.batch_job import run_batch

        return run_batch(document, local=local, show=show)
    from heliostat.runtime.preparing import prepare
    from heliostat.runtime.training_job import train

    assert isinstance(spec, TrainSpec | EntrypointSpec)
    spec = prepare(spec, document.folder, local=local)
    return train(Job.create(document, local=local), spec, local=local, show=show)
