"""Relative paths among a search's values are those of the file that it stands in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from heliostat.spec import TuneSpec, load

TUNE = """\
kind: tune
name: search
train: base.yaml
search:
  data.train.uri: {choice: [a, sklearn:digits]}
  data.train.split: {choice: [train, all], when: {data.train.uri: a}}
  model.weights: {choice: [w.safetensors, IMAGENET1K_V1]}
trials: 8
points_to_evaluate:
  - {data.train.uri: a, data.train.split: all, model.weights: w.safetensors}
"""


def test_paths_among_a_searchs_values_are_relative_to_its_file(
    write: Callable[..., Path],
) -> None:
    folder = write(name="base.yaml").parent
    spec = load(write(TUNE, "tune.yaml")).spec
    assert isinstance(spec, TuneSpec)
    uri, weights = str(folder / "a"), str(folder / "w.safetensors")
    assert spec.search["data.train.uri"].ends == (uri, "sklearn:digits")
    assert spec.search["data.train.split"].when == {"data.train.uri": uri}
    assert spec.search["model.weights"].ends == (weights, "IMAGENET1K_V1")
    (point,) = spec.points_to_evaluate
    assert (point["data.train.uri"], point["model.weights"]) == (uri, weights)
