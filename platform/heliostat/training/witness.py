"""A few steps by the real loop, with a witness: which samples came, and what weights they left."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from heliostat.data import Batch, TrainBatches
from heliostat.data.batches import Batches
from heliostat.spec import TrainSpec
from heliostat.training.context import Context
from heliostat.training.host_memory import keep_freed_memory
from heliostat.training.loop import Run, advance, begin, restore, training_batches
from heliostat.training.own_state import weights_of
from heliostat.training.setup import Setup, set_up

TRACE = "trace-{attempt}.jsonl"
"""What an attempt's witness wrote, in the job's folder: a line for each batch, and one for the
weights after its step."""


def train_watched(spec: TrainSpec, context: Context, *, stand_at: int | None) -> None:
    """Train to the spec's end, from the newest checkpoint if there is one.

    With `stand_at`, stand still for good before that step (from 1): to be killed there.
    Validation is on two batches' worth of samples, to be short.
    """
    setup = set_up(spec)
    setup = replace(setup, data=replace(setup.data, test=None, val=_few(setup, spec.batch_size)))
    keep_freed_memory(context.device)
    batches = training_batches(spec, setup, context)
    run = begin(spec, setup, context, batches.steps_per_epoch)
    restore(run)
    with ExitStack() as opened:
        path = context.folder / TRACE.format(attempt=context.attempt)
        trace = opened.enter_context(path.open("a", encoding="utf-8"))
        advance(run, Witness(batches, run, trace, stand_at), run.total_steps)
    run.store.wait()


class Witness:
    """An epoch's batches, and notes of them; the loop sees what it would see without."""

    def __init__(
        self, batches: TrainBatches, run: Run, trace: TextIO, stand_at: int | None
    ) -> None:
        self._batches = batches
        self._run = run
        self._trace = trace
        self._stand_at = stand_at
        self.steps_per_epoch = batches.steps_per_epoch

    def epoch(self, epoch: int, start: int = 0) -> Batches:
        """Yield the batches of an epoch from batch `start` on."""
        step = self._run.progress.step
        for batch in self._batches.epoch(epoch, start):
            step += 1
            self._note(step=step, samples=batch.index.tolist(), contents=_contents(batch))
            if step == self._stand_at:
                threading.Event().wait()
            try:
                yield batch
            finally:
                # Also where the loop ends with this step, and closes the generator.
                self._note(step=step, weights=digest(self._run.model))

    def _note(self, **fields: Any) -> None:
        self._trace.write(json.dumps(fields) + "\n")
        self._trace.flush()


def digest(model: nn.Module) -> str:
    """Return the SHA-256 of the model's weights and buffers."""
    found = hashlib.sha256()
    for name, value in sorted(weights_of(model).items()):
        found.update(name.encode())
        found.update(_octets(value))
    return found.hexdigest()


def _contents(batch: Batch) -> list[str]:
    """Return a digest of each sample, as the step is given it."""
    count = len(batch.index)
    leaves = [leaf for part in (batch.inputs, batch.targets) for leaf in _by_sample(part, count)]
    found = []
    for place in range(count):
        each = hashlib.blake2b(digest_size=8)
        for leaf in leaves:
            for value in tree_flatten(leaf[place])[0]:
                octets = _octets(value) if isinstance(value, Tensor) else repr(value).encode()
                each.update(octets)
        found.append(each.hexdigest())
    return found


def _by_sample(part: Any, count: int) -> Iterable[Any]:
    """Yield what of a batch has an item a sample: tensors, and lists of as many."""
    if isinstance(part, list) and len(part) == count:
        yield part
        return
    for leaf in tree_flatten(part)[0]:
        if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == count:
            yield leaf


def _octets(value: Tensor) -> bytes:
    # As bytes: NumPy lacks some of torch's dtypes.
    flat = value.detach().to("cpu").contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _few(setup: Setup, batch_size: int) -> Any:
    val: Any = setup.data.val
    if val is None or not hasattr(val, "take"):  # pairs of images cannot be chosen from
        return val
    return val.take(np.arange(min(len(val), 2 * batch_size)))


def read_trace(folder: Path, attempt: int) -> list[dict[str, Any]]:
    """Return the whole lines of an attempt's trace so far."""
    path = folder / TRACE.format(attempt=attempt)
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
