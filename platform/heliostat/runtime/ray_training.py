"""One attempt of a training job under Ray Train."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from heliostat import spec as specs
from heliostat.runtime.job import Job
from heliostat.runtime.rendezvous import TorchRendezvous
from heliostat.runtime.worker import train_worker
from heliostat.spec import EntrypointSpec, TrainSpec


def run_attempt(
    job: Job, spec: TrainSpec | EntrypointSpec, attempt: int, *, watch: Callable[[], None]
) -> Exception | None:
    """Run one attempt to its end; return what Ray Train raised, or None when it finished.

    `watch` is called several times a second from this thread while training runs in another
    (Ray Train takes over Ctrl-C in the main thread only, and here it is ours).
    """
    trainer = _trainer(job, spec, attempt)
    result: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=fit, name="ray-train", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        watch()
    return result[0] if result else None


def _trainer(job: Job, spec: TrainSpec | EntrypointSpec, attempt: int) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2._internal.callbacks.placement_group_callback import (
        PlacementGroupCleanerCallback,
    )
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    class Trainer(DataParallelTrainer):
        """Ray Train without the actor that outlives a driver to free its placement group.

        The group belongs to this driver and is freed with it; the actor costs a process of 3 s
        of a core, and prints a line a second where the dashboard is off.
        """

        def _create_default_callbacks(self) -> list[Any]:
            return [
                callback
                for callback in super()._create_default_callbacks()
                if not isinstance(callback, PlacementGroupCleanerCallback)
            ]

    resources = spec.resources
    per_worker = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        per_worker["GPU"] = resources.gpus_per_worker
    return Trainer(
        train_worker,
        train_loop_config={
            "folder": str(job.folder),
            "attempt": attempt,
            "spec": specs.dump(spec),
            "code": str(job.code),
        },
        backend_config=TorchRendezvous(),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,  # type: ignore[arg-type]  # (min, max): elastic
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker,
        ),
        # A name used before would silently resume that run; retries are ours, so that what is
        # deterministic (the user's exception, a diverged loss) isn't tried again.
        run_config=RunConfig(
            name=f"{job.id}-{attempt}",
            storage_path=str(job.folder / "ray"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
