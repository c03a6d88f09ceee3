"""Ray Train without the processes that a job of ours has no use for.

Each actor that Ray Train starts is a process that takes 3 s of a core before a worker is asked
for. Ray Train offers no setting for these; the names are those of the Ray that is pinned.
"""

from __future__ import annotations

import os
from typing import Any

import ray
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import (
    PlacementGroupCleanerCallback,
)
from ray.train.v2._internal.constants import (
    ENABLE_PREEMPTION_WATCHER_ENV_VAR,
    get_env_vars_to_propagate,
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


SETTINGS = {
    # The controller looks after its workers twice a second instead of every two seconds, so that
    # the end of training is seen soon; more often takes processor time from small machines.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
}
"""What the controller reads of the environment."""


class LeanTrainer(DataParallelTrainer):
    """Runs a training function on workers, and can be aborted; what it leaves out is `UNUSED`."""

    _controller: Any = None
    _aborted = False

    def abort(self) -> None:
        """End training from another thread than the one in `fit`, which then raises.

        Ray must not be shut down while `fit` waits for it: that ends the whole process at once.
        """
        self._aborted = True
        if self._controller is not None:
            ray.kill(self._controller)

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, UNUSED)]

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        return self._run_controller(
            TrainController, settings, runtime_env={"env_vars": _settings()}
        )

    def _run_controller(self, kind: type, settings: dict[str, Any], **options: Any) -> Any:
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        actor: Any = ray.remote(num_cpus=0, label_selector=here, **options)(kind)
        self._controller = actor.remote(**settings)
        if self._aborted:
            ray.kill(self._controller)
        ray.get(self._controller.run.remote())
        return ray.get(self._controller.get_result.remote())


class QuickTrainer(LeanTrainer):
    """Takes workers that Ray started, and that did their imports, ahead of time.

    For a cluster that cannot grow: the autoscaler's actor is left out too. And the controller
    gets no runtime environment: its actors would inherit it, and Ray would start processes for
    them instead.
    """

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        policy = settings["scaling_policy"]
        if isinstance(policy, FixedScalingPolicy):
            settings["scaling_policy"] = _FixedWorkers(policy.scaling_config)
        return self._run_controller(_Controller, {**settings, "environment": _settings()})


class _Controller(TrainController):
    """Is told what others read of the environment.

    Ray Train makes a runtime environment for the workers of such variables where it finds them.
    """

    def __init__(self, environment: dict[str, str], **settings: Any) -> None:
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        super().__init__(**settings)
        for name, value in before.items():
            if value is None:
                del os.environ[name]


class _FixedWorkers(FixedScalingPolicy):
    """Takes the workers that were asked for, and asks no autoscaler for them."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Nothing is to be registered."""

    def _maybe_send_resource_request(self) -> None:
        """Nobody would answer."""


def _settings() -> dict[str, str]:
    """Return the variables that the controller is to find: ours, and the driver's own."""
    return SETTINGS | get_env_vars_to_propagate() | _UNWATCHED


_UNWATCHED = {ENABLE_PREEMPTION_WATCHER_ENV_VAR: "0"}
"""Who watches for preemptions in `leaving`'s place would be an actor more, and would end the group
by Ray Train's own rules."""
