"""The specs that the repository ships, and the source root's shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heliostat.spec import dump, load, parse

ROOT = Path(__file__).parents[2]
JOBS = sorted((ROOT / "jobs").rglob("*.yaml"))


@pytest.mark.parametrize("path", JOBS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_spec_is_sound_and_comes_back_the_same(path: Path) -> None:
    spec = load(path).spec
    assert parse(json.loads(json.dumps(dump(spec)))) == spec
    expected = "train" if path.stem not in {"tune", "predict", "evaluate"} else path.stem
    assert spec.kind == expected


@pytest.mark.parametrize("workload", ["digits", "fashion_mnist", "cifar10"])
def test_a_workload_has_train_evaluate_and_predict(workload: str) -> None:
    assert {"train", "evaluate", "predict"} <= {p.stem for p in JOBS if p.parent.name == workload}


def test_the_source_root_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
