"""Specs to break: a sound one on disk, and a way to change a line of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat import spec

TRAIN = """\
kind: train
name: demo
model: {name: resnet18}
data:
  train: {uri: images, split: train}
  val: {uri: images, split: val}
batch_size: 64
optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
resources: {workers: 2}
epochs: 3
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a spec's text to a file and returns its path."""

    def write(text: str = TRAIN, name: str = "train.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def mistakes(write: Callable[..., Path]) -> Callable[..., list[str]]:
    """Return a function that loads a text and returns the lines of its InputError.

    `swap` replaces parts of the sound spec first. Paths are cut down to the file's name.
    """

    def mistakes(
        text: str = TRAIN, sets: tuple[str, ...] = (), swap: dict[str, str] | None = None
    ) -> list[str]:
        for old, new in (swap or {}).items():
            assert old in text
            text = text.replace(old, new)
        path = write(text)
        with pytest.raises(spec.InputError) as caught:
            spec.load(path, sets)
        return str(caught.value).replace(f"{path.parent}/", "").splitlines()

    return mistakes


@pytest.fixture
def base(write: Callable[..., Path]) -> Path:
    """Return the path of the train spec that searches search around."""
    return write(name="base.yaml")
