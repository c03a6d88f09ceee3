"""The peers of overhead: Ray Tune as its documentation uses it, one trial at a time.

    python search_peer_tune.py function --trials 40 --folder FOLDER

`function` trains what search_digits.yaml does, in a function; `train` does it by Ray Train, driven
by a function of Tune's (Ray's replacement for `Tuner(trainer)`); `reused` is a class trainable that
does nothing, in a reused actor. None writes checkpoints or to MLflow. The last line of stdout is
JSON: `ended`, when the driver heard of each trial's end (unix seconds), and `training`, the seconds
of each training as it timed itself.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune

SPACE = {
    "optimizer.lr": tune.loguniform(1.0e-3, 0.3),
    "optimizer.momentum": tune.uniform(0.5, 0.95),
    "optimizer.weight_decay": tune.loguniform(1.0e-5, 1.0e-2),
}


def main() -> None:
    """Run the trials and print when they ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    ends = Ends()
    tuner = tune.Tuner(
        PEERS[args.peer],
        param_space={**SPACE, "folder": str(args.folder / "train")},
        tune_config=tune.TuneConfig(
            num_samples=args.trials,
            max_concurrent_trials=1,
            reuse_actors=args.peer == "reused",
        ),
        run_config=tune.RunConfig(
            name=args.peer, storage_path=str(args.folder), callbacks=[ends], verbose=0
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise RuntimeError(f"{len(results.errors)} trials failed: {results.errors[0]}")
    training = [results[n].metrics.get("seconds", 0.0) for n in range(len(results))]
    print(json.dumps({"ended": ends.times, "training": training}))


class Ends(tune.Callback):
    """Notes when trials end."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.times.append(time.time())


def in_a_function(config: dict[str, Any]) -> None:
    """Train in the trial's own process."""
    from search_training import digits, fit

    accuracy, seconds = fit(digits(), config)
    tune.report({"accuracy": accuracy, "seconds": seconds})


def over_train(config: dict[str, Any]) -> None:
    """Train in a worker of Ray Train's."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    trial = tune.get_context().get_trial_id()
    trainer = TorchTrainer(
        in_a_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(
            name=str(trial), storage_path=config["folder"], callbacks=[TuneReportCallback()]
        ),
    )
    trainer.fit()


def in_a_worker(config: dict[str, Any]) -> None:
    """Train, and report as Ray Train wants it."""
    from ray import train
    from search_training import digits, fit

    accuracy, seconds = fit(digits(), config)
    train.report({"accuracy": accuracy, "seconds": seconds})


class Nothing(tune.Trainable):
    """A trial that is over as soon as it began."""

    def setup(self, config: dict[str, Any]) -> None:
        """Need nothing of it."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing."""


PEERS: dict[str, Any] = {"function": in_a_function, "train": over_train, "reused": Nothing}

if __name__ == "__main__":
    main()
