"""The checkpoint store: files first, the manifest last, and only what verifies is read.

`checkpoints/step-<step>-a<attempt>/` holds `model.safetensors`, `state.safetensors`, `state.json`
and `manifest.json`, which names every other file with its size and SHA-256. A checkpoint exists
when its manifest does. Each attempt writes under names of its own.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from heliostat.training.checkpoint_writer import Snapshot, Writer
from heliostat.training.journal import now_ms
from heliostat.training.state_files import all_finite, join_state, split_state
from heliostat.training.storage import read_json, sha256, sync_file, sync_folder, write_json
from heliostat.training.unsaved import Unsaved
from heliostat.training.verifying import FORMAT, MANIFEST, STATE, TENSORS, WEIGHTS, fault_of


class NotFiniteError(ValueError):
    """The weights to be saved hold NaN or infinity: such a checkpoint is never written."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that exists: its manifest was written."""

    folder: Path
    step: int
    objective: float | None
    """The objective's value when this was saved by an evaluation; None for one between."""

    @classmethod
    def at(cls, folder: Path) -> Checkpoint:
        """Return the one in `folder`; ValueError, TypeError or KeyError where there is none."""
        manifest = read_json(folder / MANIFEST)
        step, objective = manifest["step"], manifest["objective"]
        return cls(folder, int(step), None if objective is None else float(objective))

    @property
    def attempt(self) -> int:
        """The attempt that wrote it."""
        return _attempt_of(self.folder.name)

    def weights(self) -> dict[str, Tensor]:
        """Return the model's state dict, on the CPU."""
        return load_file(self.folder / WEIGHTS)

    def state(self) -> Any:
        """Return all that was saved beside the weights."""
        return join_state(load_file(self.folder / TENSORS), read_json(self.folder / STATE))


class CheckpointStore:
    """Writes a job's checkpoints beside training, and finds the one to go on from."""

    def __init__(
        self,
        folder: Path,
        *,
        attempt: int,
        keep_best: int,
        keep_latest: int,
        maximize: bool,
        fetch: Callable[[Path], None] | None = None,
        unsaved: Unsaved | None = None,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep the `keep_best` best by objective and the `keep_latest` newest, at least one.

        `fetch` is called with a checkpoint's folder before its files are looked at: it brings
        those that are not here. `unsaved` is told what cannot be written. `fence` raises
        Superseded where a later attempt has begun.
        """
        self._folder = folder
        self._fetch = fetch
        self._fence = fence
        self._attempt = attempt
        self._keep_best = keep_best
        self._keep_latest = max(1, keep_latest)
        self._maximize = maximize
        self._spoilt: set[str] = set()
        """The names of those that did not verify: they take nobody's place."""
        self._goes_on_from: int | None = None
        """The step that this attempt began at; None where it did not ask."""
        self._writer = Writer(
            self._write,
            folder,
            unsaved or Unsaved(lambda event, **fields: None),
            keeps_best=keep_best > 0,
            maximize=maximize,
        )

    def save(
        self, step: int, weights: dict[str, Tensor], state: Any, *, objective: float | None = None
    ) -> None:
        """Copy to memory and return; the files are written while training goes on.

        A copy that still waits for a disk gives way to this one, unless it is the best so far.
        Raises NotFiniteError, and writes nothing, where a weight is NaN or infinite; StorageAway
        where nothing could be written for too long; Superseded where a later attempt has begun.
        """
        self._writer.check()
        snapshot, _ = split_state(weights)
        if not all_finite(snapshot):
            raise NotFiniteError(f"the weights at step {step} are not finite")
        tensors, rest = split_state(state)
        self._writer.hand_over(Snapshot(step, snapshot, tensors, rest, objective))

    def wait(self) -> None:
        """Return when the last save is complete; raise what `save` may for the one before it."""
        self._writer.wait()

    def abandon(self) -> None:
        """Return when what waits is written; what is refused is given up at once."""
        self._writer.abandon()

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest checkpoint that verifies, and why each newer one was passed over.

        What is newer than that one counts no more: neither as the best nor as one to be kept.
        """
        skipped: list[str] = []
        self._goes_on_from = 0
        for folder in reversed(_folders(self._folder)):
            fault = self._fault(folder)
            if fault is None:
                checkpoint = Checkpoint.at(folder)
                self._goes_on_from = checkpoint.step
                return checkpoint, skipped
            skipped.append(f"{folder.name}: {fault}")
        return None, skipped

    def best(self) -> Checkpoint | None:
        """Return the best checkpoint by objective (the earliest of equals) that verifies."""
        for checkpoint in self._by_objective(self._own()):
            if self._fault(checkpoint.folder) is None:
                return checkpoint
        return None

    def _fault(self, folder: Path) -> str | None:
        if self._fetch is not None:
            self._fetch(folder)
        fault = fault_of(folder)
        if fault is not None:
            self._spoilt.add(folder.name)
        return fault

    def _own(self) -> list[Checkpoint]:
        """Return those that count, oldest first: all of them before it is known where to go on."""
        start = self._goes_on_from
        return [
            each
            for each in existing(self._folder)
            if each.folder.name not in self._spoilt
            and (
                start is None
                or each.attempt == self._attempt
                or (each.attempt < self._attempt and each.step <= start)
            )
        ]

    def _write(self, snapshot: Snapshot) -> None:
        folder = folder_of(self._folder, snapshot.step, self._attempt)
        self._fence()
        self._remove(
            {folder, *(each for each in _folders(self._folder) if (each / MANIFEST).exists())}
        )
        # The same step again: what stands there goes once there is another in its place.
        aside = folder.with_name(f".{folder.name}")
        if (folder / MANIFEST).exists():
            folder.replace(aside)
        try:
            self._fill(folder, snapshot)
        except BaseException:
            _delete(folder)  # what is half written takes the room of the next one
            if aside.exists():
                aside.replace(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)
        self._prune()

    def _fill(self, folder: Path, snapshot: Snapshot) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(snapshot.weights, folder / WEIGHTS)
        save_file(snapshot.tensors, folder / TENSORS)
        write_json(folder / STATE, snapshot.rest)
        self._fence()
        write_json(folder / MANIFEST, _manifest(folder, snapshot.step, snapshot.objective))
        sync_folder(folder)
        self._spoilt.discard(folder.name)

    def _prune(self) -> None:
        self._fence()
        own = [each for each in self._own() if each.attempt <= self._attempt]
        keep = own[-self._keep_latest :] + self._by_objective(own)[: self._keep_best]
        self._remove({each.folder for each in keep})

    def _remove(self, keep: set[Path]) -> None:
        """Remove all that this attempt or an earlier one left here but `keep`."""
        for folder in _folders(self._folder):
            if folder not in keep and _attempt_of(folder.name) <= self._attempt:
                _delete(folder)

    def _by_objective(self, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
        sign = -1.0 if self._maximize else 1.0
        rated = [(sign * c.objective, c.step, c) for c in checkpoints if c.objective is not None]
        return [checkpoint for _, _, checkpoint in sorted(rated, key=lambda entry: entry[:2])]


def folder_of(checkpoints: Path, step: int, attempt: int) -> Path:
    """Return the folder of a checkpoint: each attempt writes under names of its own."""
    return checkpoints / f"step-{step:010d}-a{attempt:04d}"


def existing(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints in `folder` that have a manifest, oldest first.

    A later attempt's is newer even where it is of an earlier step: that attempt could not go on
    from the later one, or was told to go on from elsewhere.
    """
    found = []
    for place in _folders(folder):
        # Removed meanwhile, or not what we write: such a checkpoint does not exist.
        with suppress(OSError, ValueError, TypeError, KeyError):
            found.append(Checkpoint.at(place))
    return found


def _folders(folder: Path) -> list[Path]:
    """Return the checkpoints' folders, oldest first, whether or not there is a manifest in them."""
    found = [path for path in folder.glob("step-*") if _attempt_of(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: (_attempt_of(path.name), path.name))


def _attempt_of(name: str) -> int:
    """Return whose a folder `step-0000000120-a0001` is; 0 for what is no checkpoint's name."""
    form = _NAME.fullmatch(name)
    return int(form[1]) if form else 0


_NAME = re.compile(r"step-\d{10}-a(\d{4,})")


def _delete(folder: Path) -> None:
    # Without its manifest it no longer exists, however far the removal gets.
    with suppress(OSError):
        (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def verify(checkpoint: Checkpoint) -> str | None:
    """Return what is wrong with a checkpoint's files, or None when all are as the manifest says."""
    return fault_of(checkpoint.folder)


def _manifest(folder: Path, step: int, objective: float | None) -> dict[str, Any]:
    """Return what says that the files are there: each was read again, for its hash, once synced."""
    files = {}
    for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        sync_file(path)
        files[path.name] = {"size": path.stat().st_size, "sha256": sha256(path)}
    return {
        "format": FORMAT,
        "step": step,
        "objective": objective,
        "created": now_ms(),
        "files": files,
    }
