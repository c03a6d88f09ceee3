"""`helio check --resume`: whether a job of a spec's that is killed ends as an undisturbed one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from heliostat.runtime.registered_model import with_local_models
from heliostat.runtime.resume_attempt import Request
from heliostat.spec import Document, Every, InputError, TrainSpec, dump

STEPS = 8
"""Optimizer steps that are taken."""
EVERY = 3
"""There is a checkpoint each so many steps, and at the end of an epoch that is the best so far."""
KILLED_AT = 6
"""The step in which the job is killed: it stands still there, so that nothing is left to chance."""
PATIENCE = 600.0
"""Seconds for one step, or for all that comes before the first."""


@dataclass(frozen=True)
class Resumed:
    """What came of it."""

    steps: int
    killed_at: int
    resumed_from: int
    """The step of the checkpoint that the second process went on from."""
    difference: str | None
    """What differs first from the undisturbed run; None: nothing, to the last bit."""


def check_resume(document: Document) -> Resumed:
    """Train a few steps undisturbed, and again with a kill (SIGKILL) and a resume; compare.

    All in one process each, on this machine, by the training loop. Raises InputError, with its
    place in the file, where the spec is of no kind that trains by that loop, or where training
    fails; it has been checked in every other way.
    """
    spec = document.spec
    if not isinstance(spec, TrainSpec):
        problem = InputError.of(
            "whether it resumes exactly can be tried of a training spec with a task alone",
            key=("kind",),
            valid="kind: train, with task, model and optimizer",
        )
        raise document.locate(problem)
    with tempfile.TemporaryDirectory(prefix="helio-check-") as folder:
        try:
            trial = _Trial(_short(with_local_models(spec)), document.folder, Path(folder))
            trial.run("whole", attempt=1)
            trial.kill("killed", attempt=1)
            trial.run("killed", attempt=2)
        except InputError as error:
            raise document.locate(error) from error
        return _compare(Path(folder) / "whole", Path(folder) / "killed")


def _short(spec: TrainSpec) -> TrainSpec:
    """Return the spec as it is tried: a few steps, all of them recorded."""
    checkpoint = spec.checkpoint.model_copy(update={"every": Every(EVERY, "step")})
    return spec.model_copy(
        update={"epochs": None, "max_steps": STEPS, "log_every": 1, "checkpoint": checkpoint}
    )


@dataclass(frozen=True)
class _Trial:
    spec: TrainSpec
    code: Path
    folder: Path

    def run(self, name: str, *, attempt: int) -> None:
        """Train in the folder `name`, from where it stands to the end."""
        process = self._start(name, attempt, stand_at=None)
        status = process.wait()
        if status:
            raise self._failed(name)

    def kill(self, name: str, *, attempt: int) -> None:
        """Train in the folder `name` as far as the step of the kill, and kill the process."""
        from heliostat.training.checkpoints import existing
        from heliostat.training.witness import read_trace

        process = self._start(name, attempt, stand_at=KILLED_AT)
        try:
            done, until = 0, time.monotonic() + PATIENCE
            while True:
                trace = read_trace(self.folder / name, attempt)
                if len(trace) > done:
                    done, until = len(trace), time.monotonic() + PATIENCE
                stands = bool(trace) and trace[-1]["step"] == KILLED_AT
                kept = existing(self.folder / name / "checkpoints")
                if stands and kept and kept[-1].step >= EVERY * ((KILLED_AT - 1) // EVERY):
                    return
                if process.poll() is not None:
                    raise self._failed(name)
                if time.monotonic() > until:
                    raise InputError.of(f"no step was done within {PATIENCE:.0f} s")
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()

    def _start(self, name: str, attempt: int, *, stand_at: int | None) -> subprocess.Popen[bytes]:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        request = folder / "request.json"
        Request(dump(self.spec), str(self.code), str(folder), attempt, stand_at).write(request)
        command = [sys.executable, "-m", "heliostat.runtime.resume_attempt", str(request)]
        with self._output(name).open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output)

    def _failed(self, name: str) -> InputError:
        said = self._output(name).read_text(errors="replace").rstrip()
        return InputError.of(f"it fails when it is tried:\n{said}")

    def _output(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _compare(whole: Path, killed: Path) -> Resumed:
    from heliostat.training.journal import events, read_all
    from heliostat.training.witness import read_trace

    expected = read_trace(whole, 1)
    before, after = (read_trace(killed, attempt) for attempt in (1, 2))
    (restored,) = events(read_all(killed / "journal"), "restored")
    difference = (
        _first(expected, before, again=True)
        or _first([row for row in expected if row["step"] > restored["step"]], after, again=False)
        or _of_metrics(whole, killed)
    )
    return Resumed(STEPS, KILLED_AT, restored["step"], difference)


def _first(
    expected: list[dict[str, Any]], found: list[dict[str, Any]], *, again: bool
) -> str | None:
    """Return what differs first; `again`: in a second run from the beginning, before its kill."""
    for one, other in zip_longest(expected, found):
        if other is None:
            return None if again else f"step {one['step']} is missing"
        if one is None or one["step"] != other["step"] or one.keys() != other.keys():
            return f"step {other['step']} is done in place of another"
        if "weights" in one and one["weights"] != other["weights"]:
            return f"{_WEIGHTS[again].format(step=one['step'])}"
        if one.get("samples") != other.get("samples"):
            return f"step {one['step']} is given other samples"
        contents = zip(one.get("contents", ()), other.get("contents", ()), strict=True)
        for place, (known, new) in enumerate(contents):
            if known != new:
                sample = one["samples"][place]
                return _SAMPLE[again].format(place=place, step=one["step"], sample=sample)
    return None


def _of_metrics(whole: Path, killed: Path) -> str | None:
    from heliostat.training.journal import metric_values, read_all

    expected, found = (metric_values(read_all(f / "journal"), after=0) for f in (whole, killed))
    for name in expected:
        if name.startswith(_CLOCKED):
            continue
        for step, value in expected[name].items():
            other = found.get(name, {}).get(step)
            if other != value and not (value != value and other != other):  # NaN is not itself
                return (
                    f"{name} is {value:g} at step {step}, and {other} after the resume, with equal"
                    " weights: the evaluation keeps state, or draws from a generator of its own"
                )
    return None


_CLOCKED = ("system/", "time/", "train/images")
_SAMPLE = {
    True: "the sample at position {place} of step {step} (number {sample}) differs from one run"
    " to the next: it is drawn from a generator that is not seeded",
    False: "the sample at position {place} of step {step} (number {sample}) differs after the"
    " resume: the data set or a transform keeps state, such as a generator of its own",
}
_WEIGHTS = {
    True: "weights differ from step {step} on from one run to the next: the model or the task draws"
    " from a generator that is not seeded, or does what is not deterministic",
    False: "weights differ from step {step} on after the resume, with equal samples: the model, the"
    " task or the optimizer keeps state outside its state dict (get_extra_state would save it)",
}
