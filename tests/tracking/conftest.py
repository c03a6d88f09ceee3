"""A real MLflow in a folder of the test's own, and a small model exported as training does it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from heliostat.tracking.runs import open_run


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with nothing in it: making one takes seconds, copying one doesn't."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    """The address of an MLflow store that only this test uses."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture
def start(uri: str, tmp_path: Path) -> Callable[..., str]:
    """Open a job's run."""

    def open_job(job: str = "job-1", **given: Any) -> str:
        known = {"experiment": "digits", "name": "digits", "tags": {}}
        root = (tmp_path / "artifacts").as_uri()
        return open_run(uri, job=job, artifact_root=root, **{**known, **given})

    return open_job


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as a finished training leaves it."""
    import safetensors.torch
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Softmax(dim=1)).eval()
    example = torch.rand(2, 1, 3, 4)
    program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(program, folder / "model.pt2")
    safetensors.torch.save_file(net.state_dict(), folder / "weights.safetensors")
    np.save(folder / "example.npy", example.numpy())
    facts = {
        "classes": ["a", "b", "c"],
        "input": {"shape": [-1, 1, 3, 4], "dtype": "float32"},
        "output": {"shape": [-1, 3], "dtype": "float32"},
        "example": "example.npy",
    }
    (folder / "model.json").write_text(json.dumps(facts))
    return folder
