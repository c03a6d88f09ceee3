"""A registered model loads with stock MLflow alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from heliostat.tracking.code_model import log_code_model
from heliostat.tracking.models import download, resolve, weights_file
from heliostat.tracking.packaging import log_model
from heliostat.tracking.registry import register

STOCK = """
import sys

class NoHeliostat:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] != "heliostat", "the model needs heliostat"

sys.meta_path.insert(0, NoHeliostat())
import mlflow, numpy as np

model = mlflow.pyfunc.load_model("models:/m@champion")
example = np.load(sys.argv[1])
rows = {n: model.predict(np.resize(example, (n, *example.shape[1:]))) for n in (1, 2, 7)}
np.savez(sys.argv[2], **{str(n): got for n, got in rows.items()})
"""

NET = """
from torch import nn
from sizes import classes

class Net(nn.Module):
    def __init__(self, pixels):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes))

    def forward(self, x):
        if x.sum() > 1e9:  # what torch.export refuses: a branch on data
            return x
        return self.layers(x)
"""


def test_an_exported_model_loads_without_heliostat_or_pickle_at_any_batch(
    start: Callable[..., str], uri: str, client: MlflowClient, exported: Path, tmp_path: Path
) -> None:
    run_id = start()
    client.log_metric(run_id, "test/accuracy", 0.75, step=3)
    client.log_metric(run_id, "train/loss", 0.5, step=3)
    model_uri = log_model(uri, run_id, exported, metadata={"job": "job-1"}, step=3)
    register(uri, run_id, model_uri, name="m", alias="champion")

    logged = client.get_logged_model(model_uri.removeprefix("models:/"))
    assert (logged.source_run_id, logged.status) == (run_id, "READY")
    assert [(m.key, m.value, m.step) for m in logged.metrics] == [("test/accuracy", 0.75, 3)]
    assert len(client.get_metric_history(run_id, "test/accuracy")) == 1
    outputs = client.get_run(run_id).outputs.model_outputs
    assert [(one.model_id, one.step) for one in outputs] == [(logged.model_id, 3)]
    _check_predictions(_predict_elsewhere(uri, exported, tmp_path), exported)

    here = download(uri, resolve(uri, "models:/m@champion"), tmp_path / "cache" / "m")
    about = Model.load(str(here))
    assert about.metadata == {"classes": ["a", "b", "c"], "job": "job-1"}
    assert about.saved_input_example_info
    assert [side.shape for side in about.signature.inputs.inputs] == [(-1, 1, 3, 4)]
    assert about.flavors["python_function"]["config"] == {"device": "cpu"}
    assert weights_file(here).read_bytes() == (exported / "weights.safetensors").read_bytes()
    assert (here / "extra_files" / "model.json").is_file()


def test_the_same_weights_are_logged_once(
    start: Callable[..., str], uri: str, client: MlflowClient, exported: Path
) -> None:
    run_id = start()
    assert log_model(uri, run_id, exported) == log_model(uri, run_id, exported)
    assert len(client.get_run(run_id).outputs.model_outputs) == 1


def test_a_model_whose_upload_was_cut_short_is_uploaded_again_and_no_second_one_made(
    start: Callable[..., str],
    uri: str,
    client: MlflowClient,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = start()
    experiment = client.get_run(run_id).info.experiment_id
    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "log_model_artifacts", cut_short)
        with pytest.raises(KeyboardInterrupt):
            log_model(uri, run_id, exported)
    (begun,) = client.search_logged_models([experiment])
    assert begun.status != "READY"

    assert log_model(uri, run_id, exported) == f"models:/{begun.model_id}"
    (logged,) = client.search_logged_models([experiment])
    assert logged.status == "READY"
    assert len(client.get_run(run_id).outputs.model_outputs) == 1


def cut_short(*args: object) -> None:
    raise KeyboardInterrupt


def test_an_example_of_one_row_is_refused_and_leaves_no_ready_model(
    start: Callable[..., str], uri: str, client: MlflowClient, exported: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported, tmp_path / "model")
    np.save(folder / "example.npy", np.zeros((1, 1, 3, 4), np.float32))
    run_id = start()
    with pytest.raises(ValueError, match="two rows"):
        log_model(uri, run_id, folder)
    models = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    assert [model.status for model in models] == ["FAILED"]


def test_a_model_that_cannot_be_exported_loads_from_its_own_code(
    start: Callable[..., str], uri: str, exported: Path, tmp_path: Path
) -> None:
    import safetensors.torch

    folder = shutil.copytree(exported, tmp_path / "model")
    (folder / "model.pt2").unlink()
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    named = {f"net.layers.{key}": value for key, value in weights.items()}
    safetensors.torch.save_file(named, folder / "weights.safetensors")
    facts = json.loads((folder / "model.json").read_text())
    code = tmp_path / "job"
    code.mkdir()
    (code / "net.py").write_text(NET)
    (code / "sizes.py").write_text("classes = 3\n")
    (code / "data.bin").touch()
    facts |= {"callable": "net:Net", "args": {"pixels": 12}, "code": [str(code)]}
    facts |= {"offered": {"num_classes": 3}}  # which this network does not take
    (folder / "model.json").write_text(json.dumps(facts))

    run_id = start()
    model_uri = log_code_model(uri, run_id, folder, pip=["einops"])
    register(uri, run_id, model_uri, name="m", alias="champion")
    shutil.rmtree(code)
    _check_predictions(_predict_elsewhere(uri, exported, tmp_path), exported)

    here = download(uri, resolve(uri, "models:/m/1"), tmp_path / "cache")
    assert "net.layers.1.weight" in safetensors.torch.load_file(weights_file(here))
    assert "einops" in (here / "requirements.txt").read_text().split()
    assert not list(here.rglob("*.pkl")) + list(here.rglob("data.bin"))
    assert Model.load(str(here)).saved_input_example_info


def _predict_elsewhere(uri: str, exported: Path, tmp_path: Path) -> dict[str, np.ndarray]:
    """Run stock MLflow in a process of its own, where importing heliostat fails."""
    out = tmp_path / "out.npz"
    env = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", STOCK, str(exported / "example.npy"), str(out)],
        cwd=tmp_path,
        env=env
        | {
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as rows:
        return dict(rows)


def _check_predictions(got: dict[str, np.ndarray], exported: Path) -> None:
    import torch

    example = np.load(exported / "example.npy")
    module = torch.export.load(exported / "model.pt2").module()
    for rows in (1, 2, 7):
        inputs = torch.from_numpy(np.resize(example, (rows, *example.shape[1:])))
        want = module(inputs).detach().numpy()
        np.testing.assert_allclose(got[str(rows)], want, rtol=1e-6)
