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
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        quiet = {"RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0"}
        # Who watches for preemptions in `leaving`'s place would be an actor more, and would end
        # the group by Ray Train's own rules.
        unwatched = {ENABLE_PREEMPTION_WATCHER_ENV_VAR: "0"}
        environment = {"env_vars": quiet | get_env_vars_to_propagate() | unwatched}
        return self._run_controller(
            settings, num_cpus=0, label_selector=here, runtime_env=environment
        )

    def _run_controller(self, settings: dict[str, Any], **options: Any) -> Any:
        actor: Any = ray.remote(**options)(TrainController)
        self._controller = actor.remote(**settings)
        if self._aborted:
            ray.kill(self._controller)
        ray.get(self._controller.run.remote())
        return ray.get(self._controller.get_result.remote())


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
        return self._run_controller(settings, num_cpus=0)


class _FixedWorkers(FixedScalingPolicy):
    """Takes the workers that were asked for, and asks no autoscaler for them."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Nothing is to be registered."""

    def _maybe_send_resource_request(self) -> None:
        """Nobody would answer."""
