"""Learning curves of Fashion-MNIST trials, recorded once by a search of random values."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measuring import HERE, read_lines
from search_runs import Record, command

from heliostat import spec as specs
from heliostat.spec import TuneSpec

SPEC = "search_curves.yaml"
RECORDED = HERE / "curves-fashion-mnist.json"
DIGITS = 4


@dataclass(frozen=True)
class Curve:
    """One trial, trained to its end."""

    values: Mapping[str, int | float]
    """By dotted key of the train spec."""
    accuracy: tuple[float, ...]
    """On val, after each epoch."""
    seconds: float
    """Of the whole training."""


@dataclass(frozen=True)
class Curves:
    """All trials of one search."""

    steps_per_epoch: int
    trials: tuple[Curve, ...]


def record_curves(work: Path, settings: Mapping[str, Any]) -> Path:
    """Record the curves; in a folder where it was begun, go on. Returns the file.

    Raises RuntimeError where a trial was not trained to its end.
    """
    job = search_shown(work, settings)
    curves = curves_of(read_lines([job / "ledger.jsonl"]))
    RECORDED.write_text(json.dumps(asdict(curves)).replace('{"values"', '\n{"values"') + "\n")
    return RECORDED


def search_shown(work: Path, settings: Mapping[str, Any]) -> Path:
    """Run the search where a person sees it; return the job's folder. It may take its time."""
    work.mkdir(parents=True, exist_ok=True)
    jobs = work / "home" / "jobs"
    words = [*command(SPEC, settings), *(["--resume"] if jobs.is_dir() else [])]
    environment = {**os.environ, "HELIO_HOME": str(work / "home")}
    subprocess.run(words, cwd=work, env=environment, check=True)
    return max(jobs.iterdir(), key=lambda folder: folder.stat().st_ctime)


def curves_of(records: list[Record]) -> Curves:
    """Return the curves that a ledger holds, of a search without a scheduler."""
    ended = [record["status"] for record in records if record["kind"] == "ended"]
    if set(ended) != {"FINISHED"}:
        raise RuntimeError(f"not all trials were trained to their end: {ended}")
    values = {r["trial"]: r["values"] for r in records if r["kind"] == "suggested"}
    told = {r["trial"]: r for r in records if r["kind"] == "told"}
    trials = tuple(
        Curve(
            {key: _short(value) for key, value in values[number].items()},
            tuple(round(value, DIGITS) for _, value in told[number]["curve"]),
            round(told[number]["seconds"], 2),
        )
        for number in sorted(told)
    )
    last = told[0]
    return Curves(last["step"] // last["epoch"], trials)


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")


def read_curves() -> Curves:
    """Return the recorded curves."""
    plain = json.loads(RECORDED.read_text())
    trials = (Curve(c["values"], tuple(c["accuracy"]), c["seconds"]) for c in plain["trials"])
    return Curves(plain["steps_per_epoch"], tuple(trials))


def curves_spec(changes: Mapping[str, Any]) -> TuneSpec:
    """Return the spec that the curves were recorded with, changed."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    spec = specs.load(HERE / SPEC, overrides).spec
    assert isinstance(spec, TuneSpec)
    return spec
