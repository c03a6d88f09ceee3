"""One attempt of a training job under Ray Train."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliostat import spec as specs
from heliostat.runtime import ahead, stop_sign
from heliostat.runtime.events import Event
from heliostat.runtime.job import Job
from heliostat.runtime.job_storage import for_workers
from heliostat.runtime.model_files import put_models
from heliostat.runtime.rendezvous import TorchRendezvous
from heliostat.runtime.worker import train_worker
from heliostat.spec import EntrypointSpec, Resources, TrainSpec

_ABORT_SECONDS = 10.0


def run_attempt(
    job: Job,
    spec: TrainSpec | EntrypointSpec,
    attempt: int,
    *,
    watch: Callable[[], None],
    show: Callable[[Event], None],
) -> Exception | None:
    """Run one attempt to its end; return what Ray Train raised, or None when it finished.

    `watch` is called several times a second from this thread. Raises KeyboardInterrupt or
    SystemExit where a signal stopped the attempt: once a last checkpoint is written, if it has
    trained a step and HELIO_GRACE_SECONDS are enough for it. Raises StorageAway where the job has
    storage that cannot be used.
    """
    seconds = stop_sign.grace_seconds()

    def grace() -> float:
        if not stop_sign.has_begun(job.folder, attempt):
            return 0.0
        show(stop_sign.STOPPING)
        return seconds

    config = {
        "work": "train",
        "folder": str(job.folder),
        "attempt": attempt,
        "spec": specs.dump(spec),
        "code": str(job.code),
        "grace": seconds,
        "cluster": "RAY_ADDRESS" in os.environ,
        **for_workers(job, attempt),
    }
    if not spec.env and (package := ahead.package()):
        config["package"] = package
    if "models" in config:
        put_models(config["spec"], config["models"])
    name = _group(job, attempt)
    return run_group(config, spec.resources, name=name, watch=watch, grace=grace)


def forget_preemption(job: Job, attempt: int) -> None:
    """Remove what told the attempt's workers, which are gone, that one of them was to go."""
    stop_sign.take_down(_group(job, attempt))


def _group(job: Job, attempt: int) -> str:
    return f"{job.id}-{attempt}"


def run_group(
    config: dict[str, Any],
    resources: Resources,
    *,
    name: str,
    watch: Callable[[], None],
    grace: Callable[[], float] = lambda: 0.0,
) -> Exception | None:
    """Run `work_as` with `config` on a group of workers; return what Ray Train raised, or None.

    Ray Train keeps what it writes in the folder `ray` of the config, else below the job's folder.
    `name` is the group's own, never used before. At the first signal (KeyboardInterrupt or
    SystemExit in this thread) `grace` is asked for the seconds in which the group may stop by
    itself; after these, or at the second signal, it is ended. Ray Train runs in a thread of its
    own: it takes over Ctrl-C in the main thread only, and there it is ours.
    """
    trainer = _trainer({**config, "group": name}, resources, name)
    result: list[Exception] = []
    # Before Python 3.13 a thread whose `join` a signal interrupts is taken for ended (bpo-45274).
    over = threading.Event()

    def fit() -> None:
        try:
            trainer.fit()
        except Exception as error:
            result.append(error)
        finally:
            over.set()

    threading.Thread(target=fit, name="ray-train", daemon=True).start()
    try:
        try:
            _follow(over, watch, math.inf)
        except (KeyboardInterrupt, SystemExit):
            if not (seconds := grace()):
                raise
            with stop_sign.shown(name):
                _follow(over, watch, seconds)
            if result or not over.is_set():
                raise
            # Else it came to its end before it heard of the sign.
    except BaseException:
        trainer.abort()
        over.wait(_ABORT_SECONDS)
        raise
    return result[0] if result else None


def _follow(over: threading.Event, watch: Callable[[], None], seconds: float) -> None:
    """Call `watch` until it is over, or until the seconds are."""
    until = time.monotonic() + seconds
    while not over.is_set() and time.monotonic() < until:
        over.wait(0.1)
        watch()


def _trainer(config: dict[str, Any], resources: Resources, name: str) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    return _kind(config)(
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
            storage_path=config.get("ray", str(Path(config["folder"]) / "ray")),
            failure_config=FailureConfig(max_failures=0),
        ),
    )


def _kind(config: dict[str, Any]) -> Any:
    from heliostat.runtime.lean_trainer import LeanTrainer, QuickTrainer

    ahead_of_time = "package" in config or not os.environ.get("RAY_ADDRESS")
    return QuickTrainer if ahead_of_time else LeanTrainer
