"""The checkpoint store: files first, the manifest last, and only what verifies is read.

`checkpoints/step-<step>-a<attempt>/` holds `model.safetensors`, `state.safetensors`, `state.json`
and `manifest.json`, which names every other file with its size and SHA-256. A checkpoint exists
when its manifest does. Each attempt writes under names of its own.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from heliostat.training.journal import now_ms
from heliostat.training.state_files import all_finite, join_state, split_state
from heliostat.training.storage import read_json, sha256, sync_file, write_json

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"


class NotFiniteError(ValueError):
    """The weights to be saved hold NaN or infinity: such a checkpoint is never written."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that exists: its manifest was written."""

    folder: Path
    step: int
    objective: float | None
    """The objective's value when this was saved by an evaluation; None for one between."""

    def weights(self) -> dict[str, Tensor]:
        """Return the model's state dict, on the CPU."""
        return load_file(self.folder / WEIGHTS)

    def state(self) -> Any:
        """Return all that was saved beside the weights."""
        return join_state(
            load_file(self.folder / "state.safetensors"), read_json(self.folder / "state.json")
        )


class CheckpointStore:
    """Writes a job's checkpoints from a thread of its own, and finds the one to go on from."""

    def __init__(
        self,
        folder: Path,
        *,
        attempt: int,
        keep_best: int,
        keep_latest: int,
        maximize: bool,
        fetch: Callable[[Path], None] | None = None,
    ) -> None:
        """Keep the `keep_best` best by objective and the `keep_latest` newest, at least one.

        `fetch` is called with a checkpoint's folder before its files are looked at: it brings
        those that are not here.
        """
        self._folder = folder
        self._fetch = fetch
        self._attempt = attempt
        self._keep_best = keep_best
        self._keep_latest = max(1, keep_latest)
        self._maximize = maximize
        self._writing: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(
        self, step: int, weights: dict[str, Tensor], state: Any, *, objective: float | None = None
    ) -> None:
        """Copy to memory and return; the files are written while training goes on.

        Waits for the save before it, and raises what that one could not do. Raises
        NotFiniteError, and writes nothing, where a weight is NaN or infinite.
        """
        self.wait()
        snapshot, _ = split_state(weights)
        if not all_finite(snapshot):
            raise NotFiniteError(f"the weights at step {step} are not finite")
        tensors, rest = split_state(state)
        self._writing = threading.Thread(
            target=self._write, args=(step, snapshot, tensors, rest, objective), name="checkpoint"
        )
        self._writing.start()

    def wait(self) -> None:
        """Return when the last save is complete; raise what it raised."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest checkpoint that verifies, and why each newer one was passed over."""
        skipped: list[str] = []
        for checkpoint in reversed(existing(self._folder)):
            fault = self._fault(checkpoint)
            if fault is None:
                return checkpoint, skipped
            skipped.append(f"{checkpoint.folder.name}: {fault}")
        return None, skipped

    def best(self) -> Checkpoint | None:
        """Return the best checkpoint by objective (the earliest of equals) that verifies."""
        for checkpoint in self._by_objective(existing(self._folder)):
            if self._fault(checkpoint) is None:
                return checkpoint
        return None

    def _fault(self, checkpoint: Checkpoint) -> str | None:
        if self._fetch is not None:
            self._fetch(checkpoint.folder)
        return verify(checkpoint)

    def _write(
        self,
        step: int,
        weights: dict[str, Tensor],
        tensors: dict[str, Tensor],
        rest: Any,
        objective: float | None,
    ) -> None:
        try:
            folder = folder_of(self._folder, step, self._attempt)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MANIFEST).unlink(missing_ok=True)
            save_file(weights, folder / WEIGHTS)
            save_file(tensors, folder / "state.safetensors")
            write_json(folder / "state.json", rest)
            write_json(folder / MANIFEST, _manifest(folder, step, objective))
            self._prune()
        except BaseException as error:
            self._error = error

    def _prune(self) -> None:
        checkpoints = existing(self._folder)
        keep = set(checkpoints[-self._keep_latest :])
        keep.update(self._by_objective(checkpoints)[: self._keep_best])
        for checkpoint in checkpoints:
            if checkpoint not in keep:
                # Without its manifest it no longer exists, however far the removal gets.
                (checkpoint.folder / MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(checkpoint.folder, ignore_errors=True)

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
    manifests = folder.glob(f"step-*/{MANIFEST}")
    for manifest in sorted(manifests, key=lambda path: _attempt_and_step(path.parent.name)):
        try:
            value = read_json(manifest)
            found.append(Checkpoint(manifest.parent, value["step"], value["objective"]))
        except (ValueError, TypeError, KeyError):
            # Removed meanwhile, or not what we write: such a checkpoint does not exist.
            continue
    return found


def _attempt_and_step(name: str) -> tuple[str, str]:
    """Return the sortable parts of a folder's name, `step-0000000120-a0001`."""
    step, _, attempt = name.rpartition("-")
    return attempt, step


def verify(checkpoint: Checkpoint) -> str | None:
    """Return what is wrong with a checkpoint's files, or None when all are as the manifest says."""
    manifest = read_json(checkpoint.folder / MANIFEST)
    if manifest is None:
        return "it has no manifest"
    for name, expected in manifest["files"].items():
        path = checkpoint.folder / name
        if not path.exists():
            return f"{name} is missing"
        if path.stat().st_size != expected["size"]:
            return f"{name} has {path.stat().st_size} bytes of {expected['size']}"
        if sha256(path) != expected["sha256"]:
            return f"{name} has another content than was written"
    return None


def _manifest(folder: Path, step: int, objective: float | None) -> dict[str, Any]:
    files = {}
    for path in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        sync_file(path)
        files[path.name] = {"size": path.stat().st_size, "sha256": sha256(path)}
    return {
        "format": 1,
        "step": step,
        "objective": objective,
        "created": now_ms(),
        "files": files,
    }
