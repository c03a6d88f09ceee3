"""The way round for a model that torch can't export: its code and its weights, no pickle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.models import Model

from heliostat.tracking.client import flavors
from heliostat.tracking.packaging import Contents, publish, requirements

# MLflow runs this file when it loads the model; the user's own module lies beside it.
_SCRIPT = '''\
"""Builds the model from the code and the weights that lie beside it."""

import importlib
import inspect
import json
import operator

import mlflow
import numpy as np
import safetensors.torch
import torch


class FromCode(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with open(context.artifacts["model"]) as file:
            facts = json.load(file)
        module, _, name = facts["callable"].partition(":")
        build = operator.attrgetter(name)(importlib.import_module(module))
        takes = inspect.signature(build).parameters
        offered = {k: v for k, v in facts["offered"].items() if k in takes}
        self.net = build(**{**offered, **facts["args"]})
        weights = safetensors.torch.load_file(context.artifacts["weights"])
        self.finds_objects = facts.get("task") == "detection"
        if self.finds_objects:
            import heliostat_standalone as detectors

            if not isinstance(self.net, detectors.Detector):
                self.net = detectors.Detector(self.net, len(facts["classes"]))
            net = weights
        else:
            net = {k.removeprefix("net."): v for k, v in weights.items() if k.startswith("net.")}
        self.net.load_state_dict(net)
        self.net.eval()
        self.mean, self.std = weights.get("normalize.mean"), weights.get("normalize.std")

    def predict(self, context, model_input: np.ndarray, params=None):
        inputs = torch.from_numpy(np.asarray(model_input))
        if self.finds_objects:
            with torch.inference_mode():
                found = self.net(inputs)
            return [{name: value.numpy() for name, value in one.items()} for one in found]
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        if self.mean is not None:
            inputs = (inputs.float() - self.mean[:, None, None]) / self.std[:, None, None]
        with torch.inference_mode():
            return torch.softmax(self.net(inputs), dim=1, dtype=torch.float32).numpy()


mlflow.models.set_model(FromCode())
'''
_NEEDED = ("mlflow", "numpy", "safetensors", "torch")
# Saved with the model under a name that no module of the user's is likely to have.
_SCRIPT_NAME = "heliostat_model.py"


def log_code_model(
    uri: str,
    run_id: str,
    folder: Path,
    *,
    name: str = "model",
    metadata: Mapping[str, Any] | None = None,
    step: int = 0,
    pip: Sequence[str] = (),
) -> str:
    """Log the model in `folder` as code plus weights; return its `models:/m-…`.

    Like `log_model`, but the folder needs no model.pt2, and model.json says how to build the
    network: {"callable": "module:name", "args": {…}, "offered": {num_classes, in_channels},
    "code": [paths]} besides what it says there. The weights are a classifier's: `net.…`, and
    `normalize.mean` and `normalize.std` where its input is normalised; it gives probabilities.
    A path is a .py file, a package's folder, or a folder whose files and packages are meant.
    A detector ("task": "detection") takes images uint8 and gives a list of {boxes, scores, labels},
    one for each; its weights have the names of the whole detector. "requires" names what it
    imports besides.

    Args:
        uri: the tracking store.
        run_id: the run that made the model.
        folder: holds weights.safetensors, model.json and the example.
        name: the logged model's name.
        metadata: goes into the MLmodel file, beside the classes.
        step: the step whose weights these are.
        pip: what the user's code needs besides torch, as pip requirements.
    """
    contents = Contents.of(folder)

    def save(path: Path, model: Model) -> None:
        _save_code(contents, path, model, pip)

    return publish(uri, run_id, contents, save, name=name, metadata=metadata, step=step)


def _save_code(contents: Contents, path: Path, model: Model, pip: Sequence[str]) -> None:
    with flavors():
        import mlflow.pyfunc

    with tempfile.TemporaryDirectory() as work:
        script = Path(work, _SCRIPT_NAME)
        script.write_text(_SCRIPT)
        code = [str(copy) for copy in _copied(contents.facts["code"], Path(work, "code"))]
        mlflow.pyfunc.save_model(
            str(path),
            python_model=str(script),
            mlflow_model=model,
            artifacts={
                "weights": str(contents.folder / "weights.safetensors"),
                "model": str(contents.folder / "model.json"),
            },
            code_paths=code,
            signature=contents.signature(),
            input_example=contents.example(),
            pip_requirements=[*requirements(*_NEEDED, *contents.facts.get("requires", [])), *pip],
        )


def _copied(paths: Iterable[str], folder: Path) -> list[Path]:
    # The code alone: a spec's folder may hold data beside it.
    folder.mkdir()
    for item in map(Path, paths):
        for one in [item] if _is_code(item) else filter(_is_code, item.iterdir()):
            if one.is_dir():
                shutil.copytree(
                    one, folder / one.name, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy2(one, folder)
    return sorted(folder.iterdir())


def _is_code(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()
