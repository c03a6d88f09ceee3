"""One attempt of a training job under Ray Train."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliostat import spec as specs
from heliostat.runtime.job import Job
from heliostat.runtime.rendezvous import TorchRendezvous
from heliostat.runtime.worker import train_worker
from heliostat.spec import EntrypointSpec, Resources, TrainSpec

_ABORT_SECONDS = 10.0


def run_attempt(
    job: Job, spec: TrainSpec | EntrypointSpec, attempt: int, *, watch: Callable[[], None]
) -> Exception | None:
    """Run one attempt to its end; return what Ray Train raised, or None when it finished.

    `watch` is called several times a second from this thread.
    """
    config = {
        "work": "train",
        "folder": str(job.folder),
        "attempt": attempt,
        "spec": specs.dump(spec),
        "code": str(job.code),
    }
    return run_group(config, spec.resources, name=f"{job.id}-{attempt}", watch=watch)


def run_group(
    config: dict[str, Any], resources: Resources, *, name: str, watch: Callable[[], None]
) -> Exception | None:
    """Run `work_as` with `config` on a group of workers; return what Ray Train raised, or None.

    `name` is the group's own, never used before. Ray Train runs in a thread of its own: it takes
    over Ctrl-C in the main thread only, and there it is ours.
    """
    trainer = _trainer(config, resources, name)
    result: list[Exception] = []

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=fit, name="ray-train", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
            watch()
    except BaseException:
        trainer.abort()
        thread.join(_ABORT_SECONDS)
        raise
    return result[0] if result else None


def _trainer(config: dict[str, Any], resources: Resources, name: str) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    from heliostat.runtime.lean_trainer import EmbeddedTrainer, LeanTrainer

    trainer = LeanTrainer if os.environ.get("RAY_ADDRESS") else EmbeddedTrainer
    return trainer(
        train_worker,
        train_loop_config=config,
        backend_config=TorchRendezvous(),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,  # type: ignore[arg-type]  # (min, max): elastic
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=resources.per_worker,
        ),
        # A name used before would silently resume that run; retries are ours, so that what is
        # deterministic (the user's exception, a diverged loss) isn't tried again.
        run_config=RunConfig(
            name=name,
            storage_path=str(Path(config["folder"]) / "ray"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
