from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from heliostat import spec
from heliostat.spec import Document, EntrypointSpec, TrainSpec
from heliostat.training.context import Context
from heliostat.training.process import train
from heliostat.training.reporter import Reporter

JOBS = Path(__file__).resolve().parents[2] / "jobs"

Load = Callable[..., Document]
Train = Callable[..., dict[str, float]]


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Models this small are slower on more threads, and far slower where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Load a spec (a workload of jobs/, or a file) with overrides; its modules are importable."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folders: set[Path] = set()

    def loaded(where: str | Path, *overrides: str) -> Document:
        path = JOBS / where / "train.yaml" if isinstance(where, str) else where
        document = spec.load(path, overrides)
        monkeypatch.syspath_prepend(document.folder)
        folders.add(document.folder)
        return document

    yield loaded
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent in folders:
            del sys.modules[name]


@pytest.fixture
def train_here() -> Train:
    """Train a document in this process, in a job's folder; return the metrics of its result."""

    def trained(document: Document, folder: Path, attempt: int = 1) -> dict[str, float]:
        assert isinstance(document.spec, TrainSpec | EntrypointSpec)
        context = Context(
            folder=folder, reporter=Reporter(folder, attempt=attempt), attempt=attempt
        )
        train(document.spec, context, code=document.folder)
        result: dict[str, Any] = json.loads((folder / "result.json").read_text())
        metrics: dict[str, float] = result["metrics"]
        return metrics

    return trained


@pytest.fixture
def write(tmp_path: Path, load: Load) -> Callable[..., Document]:
    """Write a digits job with a module `users_own` beside it, and load it with overrides."""

    def written(source: str, *overrides: str, text: str = DIGITS) -> Document:
        folder = tmp_path / "spec"
        folder.mkdir(exist_ok=True)
        (folder / "users_own.py").write_text(source)
        (folder / "train.yaml").write_text(text)
        return load(folder / "train.yaml", *overrides)

    return written


DIGITS = """\
kind: train
name: digits
model: {name: cnn_small}
data:
  train: {uri: sklearn:digits, split: "all[:200]"}
  val: {uri: sklearn:digits, split: "all[200:260]"}
batch_size: 40
optimizer: {name: sgd, lr: 0.05, momentum: 0.9}
max_steps: 3
"""
