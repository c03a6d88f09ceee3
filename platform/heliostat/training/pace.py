"""How fast training goes, and how long it has to go."""

from __future__ import annotations

import time

from heliostat.training.context import Context


class Pace:
    """Times epochs (evaluation apart) and tells the watcher where training is."""

    def __init__(self, *, total_steps: int, steps_per_epoch: int) -> None:
        """Both are counts of optimizer steps."""
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._began = time.monotonic()
        self._epoch_began = self._began
        self._epoch_images = 0
        self._steps = 0
        self.latest: dict[str, float] = {}
        """The newest value of each metric, for the watcher."""

    def epoch_begins(self) -> None:
        """Start the epoch's clock."""
        self._epoch_began = time.monotonic()
        self._epoch_images = 0

    def step_done(self, images: int) -> bool:
        """Count a step over `images` samples, all ranks together; say if it was the first here."""
        self._epoch_images += images
        self._steps += 1
        return self._steps == 1

    def epoch_metrics(self) -> dict[str, float]:
        """Return the epoch's throughput and duration so far."""
        seconds = time.monotonic() - self._epoch_began
        return {
            "train/images_per_second": self._epoch_images / seconds,
            "time/epoch_seconds": seconds,
        }

    def tell(self, step: int, context: Context, *, phase: str = "training") -> None:
        """Write the progress file: rank 0 only, and as often as the reporter takes it."""
        if not context.is_main:
            return
        elapsed = time.monotonic() - self._began
        epoch_seconds = time.monotonic() - self._epoch_began
        context.reporter.progress(
            phase=phase,
            step=step,
            total_steps=self._total_steps,
            epoch=min(step, self._total_steps - 1) // self._steps_per_epoch + 1,
            total_epochs=-(-self._total_steps // self._steps_per_epoch),
            metrics=self.latest,
            images_per_second=self._epoch_images / epoch_seconds if epoch_seconds > 0 else None,
            seconds_left=(self._total_steps - step) * elapsed / max(1, self._steps),
        )
