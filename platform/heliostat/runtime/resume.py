"""`helio resume`: a job that ended before its time goes on, in the same MLflow run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heliostat import spec as specs
from heliostat.runtime import kept_code
from heliostat.runtime.events import Event, Note
from heliostat.runtime.job import Job, all_jobs
from heliostat.runtime.job_storage import catch_up
from heliostat.runtime.outcome import Outcome
from heliostat.spec import Document, EntrypointSpec, InputError, TrainSpec, TuneSpec

LIMITS = ("epochs", "max_steps", "retries", "resources", "checkpoint", "stall", "register", "env")
"""What may be changed: how far and on what, and not what is trained."""


def resume(job_id: str, overrides: Sequence[str], *, show: Callable[[Event], None]) -> Outcome:
    """Go on with a job from its newest checkpoint that verifies; return how it ended.

    `overrides` (`epochs=10`) may raise limits. Raises InputError for a job that does not exist,
    that is finished and has no limit raised, or that cannot go on.
    """
    job = Job.open(job_id)
    catch_up(job)
    kept_code.restore(job.code, job.folder)
    if job.driven:
        raise InputError.of(f"job {job_id} is running", valid="wait for its end, or stop it")
    if job.facts["kind"] == "tune":
        return _resume_search(job, _search_spec(job, overrides), bool(overrides), show)
    spec = _spec(job, overrides)
    ended = job.ended
    if ended is not None and ended["status"] == "FINISHED" and not overrides:
        raise _finished(job, "epochs")
    from heliostat.runtime.preparing import prepare
    from heliostat.runtime.training_job import train

    local = bool(job.facts.get("local"))
    ready = prepare(spec, job.code, local=local)
    job.reopen(spec)
    show(Note(f"resuming {job_id}"))
    return train(job, ready, local=local, show=show)


def resume_newest(document: Document, *, show: Callable[[Event], None]) -> Outcome:
    """Go on with the newest search of the document's name, to the limits of the document.

    Raises InputError, with its place in the file, where there is none or it is another search.
    """
    spec = document.spec
    assert isinstance(spec, TuneSpec)
    known = [job for job in all_jobs() if job.facts["kind"] == "tune"]
    same = [job for job in known if job.facts["name"] == spec.name]
    if not same:
        raise document.locate(
            InputError.of(
                f"there is no search {spec.name} to go on with",
                key=("name",),
                valid="the same command without --resume",
            )
        )
    try:
        return _resume_search(same[-1], spec, True, show)
    except InputError as error:
        raise document.locate(error) from error


def _resume_search(
    job: Job, spec: TuneSpec, may_be_raised: bool, show: Callable[[Event], None]
) -> Outcome:
    if job.driven:
        raise InputError.of(f"job {job.id} is running", valid="wait for its end, or stop it")
    ended = job.ended
    if ended is not None and ended["status"] == "FINISHED" and not may_be_raised:
        raise _finished(job, "trials")
    from heliostat.runtime.search_job import resume_search

    return resume_search(job, spec, show=show)


def _finished(job: Job, limit: str) -> InputError:
    told = "" if job.recorded.get("complete") else f", or tell MLflow of it: helio sync {job.id}"
    return InputError.of(
        f"job {job.id} is finished", valid=f"raise a limit to go on: --set {limit}=…{told}"
    )


def _search_spec(job: Job, overrides: Sequence[str]) -> TuneSpec:
    spec = specs.load(job.folder / "resolved.json", overrides).spec
    assert isinstance(spec, TuneSpec)
    return spec


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
