"""What checkpoints cost: turns of steps without any, with heliostat's, and with `torch.save`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pairs import say
from table import spread

from heliostat import spec as specs
from heliostat.data import Batch, TrainBatches
from heliostat.spec import TrainSpec
from heliostat.training.context import Context
from heliostat.training.host_memory import keep_freed_memory
from heliostat.training.learners import step
from heliostat.training.loop import Run, begin, report_loss, save, training_batches
from heliostat.training.placing import to_device
from heliostat.training.reporter import Reporter
from heliostat.training.seeding import seed_step
from heliostat.training.setup import set_up

STEPS = 50
"""Steps in a turn, which begins with a checkpoint."""

BIG = """
kind: train
name: durability
model: {name: resnet50}
data: {train: {uri: sklearn:digits}, channels: 3, image_size: 32}
batch_size: 4
optimizer: {name: sgd, lr: 0.01, momentum: 0.9}
max_steps: 1000000
"""
"""ResNet-50 on images as small as they go: 102 MB of weights and as much momentum, and steps as
short as they can be, which is the hardest case for a checkpoint beside them."""

Turn = Callable[[], None]


class Steps:
    """The loop's own steps, one after another, without what the loop does between."""

    def __init__(self, text: str, folder: Path) -> None:
        """Set up by a spec's text; what is written goes to the folder."""
        folder.mkdir(parents=True)
        (folder / "train.yaml").write_text(text)
        spec = specs.load(folder / "train.yaml").spec
        assert isinstance(spec, TrainSpec)
        self.folder = folder
        self._context = Context(folder, Reporter(folder, attempt=1))
        setup = set_up(spec)
        batches = training_batches(spec, setup, self._context)
        self.run: Run = begin(spec, setup, self._context, batches.steps_per_epoch)
        self._batches = _endless(batches)
        keep_freed_memory(self._context.device)

    def take(self, count: int, *, report: bool = False) -> None:
        """Take so many steps; with `report`, record the loss after each, as `log_every: 1`."""
        run, device = self.run, self._context.device
        for batch in itertools.islice(self._batches, count):
            seed_step(0, run.progress.step, 0)
            inputs, targets = to_device((batch.inputs, batch.targets), device)
            ready = replace(batch, inputs=inputs, targets=targets)
            shares = step(run.learners, ready, 1, device, run.spec)
            run.progress.step += 1
            if report:
                run.progress.losses.add(shares)
                report_loss(run)


def _endless(batches: TrainBatches) -> Any:
    for epoch in itertools.count():
        whole: Batch
        for whole in batches.epoch(epoch):
            if whole.number + 1 < batches.steps_per_epoch:  # the last may be smaller
                yield whole


def measure_checkpoints(work: Path, pairs: int) -> dict[str, Any]:
    """Measure turns of all three in turns; print the table and return the numbers."""
    steps = Steps(BIG, work)
    run, optimizer = steps.run, steps.run.learners[0].optimizer

    def ours() -> None:
        save(run)
        steps.take(STEPS)
        run.store.wait()  # else the next turn would pay for what is left of the writing

    def plain() -> None:
        state = {"model": run.model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, work / "plain.pt")
        steps.take(STEPS)

    sides: dict[str, Turn] = {"none": lambda: steps.take(STEPS), "heliostat": ours, "plain": plain}
    turns = measure_turns("checkpoints", sides, pairs)
    held = _held(steps, 5)
    ms = 1e3 * median(turns["none"]["seconds"]) / STEPS
    print(f"**A checkpoint every {STEPS} steps**: ResNet-50, 204 MB, steps of {ms:,.0f} ms\n")
    print_turns(turns, "heliostat", "≤ 1.02")
    print(f"The loop is held for {spread([1e3 * value for value in held])} ms at a checkpoint.\n")
    return {**turns, "held": held}


def measure_turns(what: str, sides: dict[str, Turn], pairs: int) -> dict[str, Any]:
    """Take the sides' turns, each first in its round in turn; return seconds, and CPU seconds."""
    found: dict[str, Any] = {name: {"seconds": [], "cpu": []} for name in sides}
    names = list(sides)
    for number in range(-1, pairs):  # the first round warms up
        for name in names[number % len(names) :] + names[: number % len(names)]:
            began, cpu = time.perf_counter(), time.process_time()
            sides[name]()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            say(f"{what}, round {number + 1}, {name}: {seconds:.2f} s, {cpu:.2f} s of CPU")
            if number >= 0:
                found[name]["seconds"].append(seconds)
                found[name]["cpu"].append(cpu)
    return found


def print_turns(turns: dict[str, Any], judged: str, wanted: str) -> None:
    """Print each side beside the first: seconds a turn, and the processor's."""
    (first, base), *others = turns.items()
    print(f"| side | s a turn | of {first}'s, round by round | of its CPU time | wanted |")
    print("|---|---|---|---|---|")
    print(f"| {first} | {spread(base['seconds'], 2)} | 1 | 1 | |")
    for name, side in others:
        ratios = [
            spread([a / b for a, b in zip(side[kind], base[kind], strict=True)], 3)
            for kind in ("seconds", "cpu")
        ]
        cells = (name, spread(side["seconds"], 2), *ratios, wanted if name == judged else "")
        print(f"| {' | '.join(cells)} |")
    print(flush=True)


def _held(steps: Steps, times: int) -> list[float]:
    """Return how many seconds the loop waits for a save, the one before being complete."""
    found = []
    for _ in range(times):
        steps.take(2)
        began = time.perf_counter()
        save(steps.run)
        found.append(time.perf_counter() - began)
        steps.run.store.wait()
    return found
