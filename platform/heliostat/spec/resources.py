"""What a job takes: workers, CPUs, GPUs; and how often it may fail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from heliostat.spec.base import Model, wrong_here


def _read_workers(value: Any) -> int | tuple[int, int]:
    if _is_count(value):
        return int(value)
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_count, value))):
        message = f"{value!r} is not a number of workers"
        raise wrong_here(message, "1 or more, or [min, max] for elastic training")
    if value[0] > value[1]:
        raise wrong_here(f"{list(value)} is out of order", f"[{value[1]}, {value[0]}]")
    return (value[0], value[1])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


class Resources(Model):
    """What a job takes. `workers: [min, max]` is elastic: the job goes on with what there is."""

    workers: Annotated[int | tuple[int, int], BeforeValidator(_read_workers)] = 1
    cpus_per_worker: int = Field(default=1, ge=1)
    gpus_per_worker: int = Field(default=0, ge=0)

    @property
    def min_workers(self) -> int:
        """The fewest workers that the job runs with."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def max_workers(self) -> int:
        """The most workers that the job runs with."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @property
    def per_worker(self) -> dict[str, float]:
        """What a worker takes, by Ray's names; a GPU only where one is asked for."""
        gpus = {"GPU": float(self.gpus_per_worker)} if self.gpus_per_worker else {}
        return {"CPU": float(self.cpus_per_worker), **gpus}

    @property
    def elastic(self) -> bool:
        """Whether the number of workers may change while the job runs."""
        return self.min_workers < self.max_workers


class Retries(Model):
    """How often a job is started again: after failures, and after preemptions."""

    failures: int = Field(default=3, ge=0)
    preemptions: int = Field(default=10, ge=0)
    out_of_memory: Literal["halve"] | None = None
    """`halve`: where memory runs out, a device's or a machine's, the job goes on with half as many
    samples at a time and `accumulate` doubled, down to one sample. The global batch stays what it
    is; BatchNorm's statistics, which are of the samples that are taken at a time, do not."""
