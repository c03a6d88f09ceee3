"""Whether a job is tried again after a fault, and with how many samples at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from heliostat.runtime.failures import Fault
from heliostat.runtime.job import Job
from heliostat.spec import EntrypointSpec, TrainSpec
from heliostat.training.journal import events, read_all
from heliostat.training.verdicts import Budget

HALVED = "micro_batch_halved"
"""The event in the journal, one for each attempt since; its fields are those of `Halved`."""


@dataclass(frozen=True)
class Halved:
    """What `retries.out_of_memory: halve` has made of a job."""

    accumulate: int
    """In how many parts a worker takes its share of a global batch now."""
    samples_at_a_time: int
    """The micro-batch: what a worker has in memory at once, at most."""


class Retrying:
    """What is left of a job's retries, and the spec that its next attempt is made with."""

    def __init__(
        self,
        job: Job,
        spec: TrainSpec | EntrypointSpec,
        *,
        budgets: Collection[Budget] = ("failures", "preemptions"),
    ) -> None:
        """Begin with the spec's retries from these budgets, and what was halved before."""
        self.spec = spec
        self.halved: Halved | None = None
        self._budgets = budgets
        self._used = Counter[Budget]()
        for event in events(read_all(job.folder / "journal"), HALVED)[-1:]:
            # On resume the user may have taken the setting away, or set more.
            if isinstance(spec, TrainSpec) and spec.retries.out_of_memory is not None:
                self._accumulate(spec, max(spec.accumulate, event["accumulate"]))

    def after(self, fault: Fault) -> str | None:
        """Return what to say of the next attempt; None: there is to be none."""
        if self._is_to_halve(fault):
            return self._halve()
        kind = fault.budget
        if kind is None or kind not in self._budgets:
            return None
        limit = getattr(self.spec.retries, kind)
        if self._used[kind] == limit:
            return None
        self._used[kind] += 1
        return f"trying again ({self._used[kind]} of {limit} for {kind})"

    def last(self, fault: Fault) -> Fault:
        """Return the job's last fault as it is told: that nothing is left to halve, if so."""
        if not self._is_to_halve(fault):
            return fault
        message = f"{fault.failure.message} (with one sample at a time)"
        return replace(fault, failure=replace(fault.failure, message=message))

    def _is_to_halve(self, fault: Fault) -> bool:
        no_memory = fault.failure.verdict in ("out_of_memory_device", "out_of_memory_host")
        return no_memory and self.spec.retries.out_of_memory == "halve"

    def _halve(self) -> str | None:
        assert isinstance(self.spec, TrainSpec)  # others can't be given the setting
        before = at_a_time(self.spec)
        if before == 1:
            return None
        halved = self._accumulate(self.spec, 2 * self.spec.accumulate)
        now = f"{halved.samples_at_a_time} samples at a time, not {before}"
        return f"trying again with {now} (accumulate: {halved.accumulate})"

    def _accumulate(self, spec: TrainSpec, parts: int) -> Halved:
        self.spec = spec.model_copy(update={"accumulate": min(parts, _of_a_worker(spec))})
        self.halved = Halved(self.spec.accumulate, at_a_time(self.spec))
        return self.halved


def at_a_time(spec: TrainSpec) -> int:
    """Return how many samples a worker takes at a time, at most: its micro-batch."""
    return -(-_of_a_worker(spec) // spec.accumulate)


def _of_a_worker(spec: TrainSpec) -> int:
    """Return a worker's share of a global batch, at most: of an elastic job, with the fewest."""
    return -(-spec.batch_size // spec.resources.min_workers)
