"""A trained model as an MLflow model that loads with stock MLflow, no heliostat and no pickle."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec

from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, flavors, reaching

if TYPE_CHECKING:
    import numpy as np

Save = Callable[[Path, Model], None]

EXTRA_FILES = ("weights.safetensors", "model.json")


@dataclass(frozen=True)
class Contents:
    """A model folder's `model.json`, read: what goes in, what comes out."""

    folder: Path
    facts: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Contents:
        """Read `folder`/model.json."""
        return cls(folder, json.loads((folder / "model.json").read_text()))

    def example(self) -> np.ndarray[Any, Any]:
        """Return the input example, shape (n, …) with n ≥ 2."""
        import numpy as np

        example: np.ndarray[Any, Any] = np.load(self.folder / self.facts["example"])
        if len(example) < 2:
            raise ValueError("the input example needs two rows: one would freeze the batch size")
        return example

    def signature(self) -> ModelSignature:
        """Return the tensor signature, batch dimension -1; boxes have none."""
        inputs, given = Schema([_tensor_spec(self.facts["input"])]), self.facts["output"]
        outputs = Schema([_tensor_spec(given)]) if given else None
        return ModelSignature(inputs=inputs, outputs=outputs)

    def weights_sha256(self) -> str:
        """Return the SHA-256 of the weights' file, in hex."""
        with (self.folder / "weights.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def log_model(
    uri: str,
    run_id: str,
    folder: Path,
    *,
    name: str = "model",
    metadata: Mapping[str, Any] | None = None,
    step: int = 0,
) -> str:
    """Log the exported model in `folder` as an output of the run; return its `models:/m-…`.

    The same weights logged again by the same run (a resume) give the model that is there.

    Args:
        uri: the tracking store.
        run_id: the run that made the model.
        folder: holds model.pt2 (a torch.export archive with a free batch dimension, on the CPU),
            weights.safetensors, and model.json: {"classes": […], "input": {"shape": [-1, C, H,
            W], "dtype"}, "output": {"shape", "dtype"}, "example": "example.npy"}.
        name: the logged model's name.
        metadata: goes into the MLmodel file, beside the classes.
        step: the step whose weights these are.

    Raises:
        ValueError: the batch dimension is frozen, or the example has one row.
        TrackingAway: MLflow can't be reached.
    """
    contents = Contents.of(folder)

    def save(path: Path, model: Model) -> None:
        _save_exported(contents, path, model)

    return publish(uri, run_id, contents, save, name=name, metadata=metadata, step=step)


def publish(
    uri: str,
    run_id: str,
    contents: Contents,
    save: Save,
    *,
    name: str,
    metadata: Mapping[str, Any] | None,
    step: int,
) -> str:
    """Upload what `save` writes as a logged model of the run, READY when all of it is there."""
    digest = contents.weights_sha256()
    with reaching(uri):
        client = connect(uri)
        run = client.get_run(run_id)
        begun = _logged_before(client, run.info.experiment_id, run_id, digest)
        if begun is not None and begun.status == "READY":
            return f"models:/{begun.model_id}"
        # One whose upload was cut short (a recorder that was killed) is uploaded anew.
        logged = begun or client.create_logged_model(
            run.info.experiment_id,
            name=name,
            source_run_id=run_id,
            tags={tag.WEIGHTS_SHA256: digest},
            params=run.data.params,
        )
        model = Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
            run_id=run_id,
            metadata={"classes": list(contents.facts["classes"]), **(metadata or {})},
        )
        try:
            _upload(client, logged, model, save)
        except BaseException:
            with suppress(MlflowException):
                client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        told = run.outputs.model_outputs if run.outputs is not None else []
        if logged.model_id not in {output.model_id for output in told}:
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step)])
        _link_test_metrics(client, run_id, logged.model_id)
        client.finalize_logged_model(logged.model_id, "READY")
        return f"models:/{logged.model_id}"


def requirements(*names: str) -> list[str]:
    """Return the installed versions as pip requirements: no build's local part, `+cpu`, in them."""
    return [f"{name}=={installed.version(name).split('+')[0]}" for name in names]


def _logged_before(
    client: MlflowClient, experiment_id: str, run_id: str, digest: str
) -> LoggedModel | None:
    """Return the run's logged model of these weights: the one that is READY, if one is."""
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    same = [model for model in found if model.tags.get(tag.WEIGHTS_SHA256) == digest]
    return max(same, key=lambda model: model.status == "READY", default=None)


def _upload(client: MlflowClient, logged: LoggedModel, model: Model, save: Save) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        save(path, model)
        client.log_model_artifacts(logged.model_id, str(path))


def _save_exported(contents: Contents, path: Path, model: Model) -> None:
    # Deferred: torch takes 3 s to import.
    import torch

    with flavors():
        import mlflow.pyfunc
        import mlflow.pytorch

    exported = torch.export.load(contents.folder / "model.pt2").module()
    mlflow.pytorch.save_model(
        exported,
        str(path),
        mlflow_model=model,
        signature=contents.signature(),
        input_example=contents.example(),
        extra_files=[str(contents.folder / file) for file in EXTRA_FILES],
        pip_requirements=requirements("mlflow", "numpy", "torch"),
        serialization_format="pt2",
    )
    _load_on_cpu(path)
    _check_batch_is_free(path / "data" / "model.pt2", contents)


def _load_on_cpu(path: Path) -> None:
    # Where there is a GPU, MLflow would ask for it and then refuse the archive, whose weights
    # can't be moved from the CPU.
    saved = Model.load(str(path))
    saved.flavors["python_function"]["config"]["device"] = "cpu"
    saved.save(str(path / "MLmodel"))


def _check_batch_is_free(archive: Path, contents: Contents) -> None:
    import torch

    module = torch.export.load(archive).module()
    rows = torch.from_numpy(contents.example()[:1])
    for size in (1, 2, 5):
        got = tuple(module(torch.cat([rows] * size)).shape)
        if got[0] != size:
            raise ValueError(f"the exported model gives shape {got} for a batch of {size}")


def _link_test_metrics(client: MlflowClient, run_id: str, model_id: str) -> None:
    # The model's own page shows them. The rows are the run's own, so it stores nothing twice.
    held = client.get_run(run_id).data.to_proto().metrics
    metrics = [
        Metric(one.key, one.value, one.timestamp, one.step, model_id=model_id, run_id=run_id)
        for one in held
        if one.key.startswith("test/")
    ]
    if metrics:
        client.log_batch(run_id, metrics=metrics, synchronous=True)


def _tensor_spec(side: Mapping[str, Any]) -> TensorSpec:
    import numpy as np

    return TensorSpec(np.dtype(side["dtype"]), tuple(side["shape"]))
