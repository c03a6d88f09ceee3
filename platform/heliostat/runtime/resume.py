"""`helio resume`: a job that ended before its time goes on, in the same MLflow run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heliostat import spec as specs
from heliostat.runtime.events import Event, Note
from heliostat.runtime.job import Job
from heliostat.runtime.outcome import Outcome
from heliostat.spec import EntrypointSpec, InputError, TrainSpec

LIMITS = ("epochs", "max_steps", "retries", "resources", "checkpoint", "register", "env")
"""What may be changed: how far and on what, and not what is trained."""


def resume(job_id: str, overrides: Sequence[str], *, show: Callable[[Event], None]) -> Outcome:
    """Go on with a job from its newest checkpoint that verifies; return how it ended.

    `overrides` (`epochs=10`) may raise limits. Raises InputError for a job that does not exist,
    that is finished and has no limit raised, or that cannot go on.
    """
    job = Job.open(job_id)
    if job.driven:
        raise InputError.of(f"job {job_id} is running", valid="wait for its end, or stop it")
    spec = _spec(job, overrides)
    ended = job.ended
    if ended is not None and ended["status"] == "FINISHED" and not overrides:
        raise InputError.of(
            f"job {job_id} is finished", valid="raise a limit to go on: --set epochs=…"
        )
    from heliostat.runtime.preparing import prepare
    from heliostat.runtime.training_job import train

    local = bool(job.facts.get("local"))
    ready = prepare(spec, job.code, local=local)
    job.reopen(spec)
    show(Note(f"resuming {job_id}"))
    return train(job, ready, local=local, show=show)


def _spec(job: Job, overrides: Sequence[str]) -> TrainSpec | EntrypointSpec:
    document = specs.load(job.folder / "resolved.json", overrides)
    spec = document.spec
    if not isinstance(spec, TrainSpec | EntrypointSpec):
        raise InputError.of(
            f"job {job.id} is of kind {spec.kind}, which has nothing to go on from",
            valid="`helio run` its spec again",
        )
    before = specs.dump(job.spec)
    after = specs.dump(spec)
    changed = [key for key in after if after[key] != before.get(key) and key not in LIMITS]
    if changed:
        raise InputError.of(
            "cannot be changed on resume: it would be another job",
            key=(changed[0],),
            valid="one of " + ", ".join(LIMITS),
        )
    return spec
