"""What Ray Tune runs: an actor that is kept, and trains a leg of one trial after another."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray.tune import Trainable

from heliostat.runtime.worker import work_as


class LegTrainable(Trainable):
    """A trainable of Tune's whose only step is a whole leg.

    Tune pauses, saves and restores nothing: between legs a trial is its own checkpoints. The
    process lives on, with torch imported and the data open.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first leg: `leg` is the JSON of `work_as`'s config."""
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next leg in the same process."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train the leg to its end; what fails is told, not raised: Tune retries nothing."""
        error = _on_a_group(self._leg) if self._leg["world_size"] > 1 else _here(self._leg)
        return {"done": True, "error": error}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the leg's checkpoint stands in the trial's folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing."""

    def _take(self, config: dict[str, Any]) -> None:
        self._leg: dict[str, Any] = json.loads(config["leg"])


def _here(leg: dict[str, Any]) -> dict[str, Any] | None:
    try:
        work_as(leg)
    except Exception as error:
        return {"lost": False, "message": str(error)}
    return None


def _on_a_group(leg: dict[str, Any]) -> dict[str, Any] | None:
    """Train by DDP, on a group of Ray Train's workers that is this leg's own."""
    from heliostat import spec as specs
    from heliostat.runtime.ray_errors import how_lost
    from heliostat.runtime.ray_training import run_group

    resources = specs.parse(leg["spec"]).resources  # type: ignore[union-attr]
    name = f"{Path(leg['folder']).name}-{leg['attempt']}-{os.getpid()}"
    with TemporaryDirectory(prefix="heliostat-") as ray:  # the job's folder may be elsewhere
        error = run_group({**leg, "ray": ray}, resources, name=name, watch=lambda: None)
    if error is None:
        return None
    failures = getattr(error, "worker_failures", {})
    memory = any(how_lost(f) == "out_of_memory_host" for f in failures.values())
    message = "OutOfMemoryError" if memory else str(error)
    return {"lost": not any("TrainingFailed" in repr(f) for f in failures.values()),
            "message": message}  # fmt: skip
