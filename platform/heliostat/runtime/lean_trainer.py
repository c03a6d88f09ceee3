"""Ray Train without the processes that a job of ours has no use for.

Each actor that Ray Train starts is a process that takes 3 s of a core before a worker is asked
for. Ray Train offers no setting for these; the names are those of the Ray that is pinned.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import (
    PlacementGroupCleanerCallback,
)
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

UNUSED = (
    # Serves Ray Data's shards; batches come from heliostat's own data room.
    DatasetsCallback,
    # Outlives a driver to free its placement group, which is freed with the driver all the same;
    # prints a line a second where the dashboard is off.
    PlacementGroupCleanerCallback,
)


class LeanTrainer(DataParallelTrainer):
    """Runs a training function on workers; what it leaves out is `UNUSED`."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, UNUSED)]


class EmbeddedTrainer(LeanTrainer):
    """On a Ray of one machine that is this job's own.

    It cannot grow, so the autoscaler's actor is left out too. And the controller gets no runtime
    environment: its actors would inherit it, and Ray would start processes for them instead of
    taking the workers that it started, and that did their imports, ahead of time.
    """

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        policy = settings["scaling_policy"]
        if isinstance(policy, FixedScalingPolicy):
            settings["scaling_policy"] = _FixedWorkers(policy.scaling_config)
        actor: Any = ray.remote(num_cpus=0)(TrainController)
        controller = actor.remote(**settings)
        ray.get(controller.run.remote())
        return ray.get(controller.get_result.remote())


class _FixedWorkers(FixedScalingPolicy):
    """Takes the workers that were asked for, and asks no autoscaler for them."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Nothing is to be registered."""

    def _maybe_send_resource_request(self) -> None:
        """Nobody would answer."""
