"""An imported data set under Ray: trained on, what is broken in it left out and said."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from sklearn.datasets import load_digits

from command import Helio

SPEC = """
kind: train
name: imported
model: {name: cnn_small}
data:
  train: {uri: %(uri)s, split: train}
  val: {uri: %(uri)s, split: test}
  augment: [horizontal_flip, {ColorJitter: {brightness: 0.2}}]
  augment_on_device: [{MixUp: {num_classes: 3}}]
  on_error: skip
  loader_processes: 1
batch_size: 16
optimizer: {name: sgd, lr: 0.1}
epochs: 2
resources: {workers: 2}
"""


@pytest.fixture(scope="module")
def imported(helio: Helio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits 0, 1 and 2 as PNG files, one of them cut off, imported."""
    root = tmp_path_factory.mktemp("imported")
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:300], digits.target, strict=False)):
        if label < 3:
            folder = root / "source" / ("test" if number % 5 == 0 else "train") / f"digit-{label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15).astype("uint8")).save(folder / f"{number}.png")
    victim = next((root / "source" / "train" / "digit-0").iterdir())
    victim.write_bytes(victim.read_bytes()[:50])
    done = helio("data", "import", root / "source", root / "set", "--json")
    assert done.status == 0, done.err
    assert done.document["classes"] == ["digit-0", "digit-1", "digit-2"]
    return root / "set"


def test_a_broken_sample_is_left_out_counted_and_listed(
    helio: Helio, imported: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "train.yaml"
    spec.write_text(SPEC % {"uri": imported})
    done = helio("run", spec, "--json")
    assert done.status == 0, done.err
    assert "train: 1 of" in done.err
    folder = helio.folder(done.document["job"])
    _, row = csv.reader((folder / "skipped-samples.csv").read_text().splitlines())
    assert row[0] == "train"
    assert "digit-0" in row[1]
    client = MlflowClient(helio.tracking)
    run = client.get_run(done.document["run_id"])
    assert run.data.metrics["data/train_skipped"] == 1
    assert run.data.metrics["data/val_skipped"] == 0
    artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert "skipped-samples.csv" in artifacts
    trained_on = next(d for d in run.inputs.dataset_inputs if d.dataset.name == "set train")
    assert json.loads(trained_on.dataset.source)["uri"] == str(imported)
    assert (folder / "pictures" / "data").is_dir()


def test_without_skip_the_broken_sample_is_named_before_anything_is_trained(
    helio: Helio, imported: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "train.yaml"
    spec.write_text(SPEC.replace("on_error: skip", "on_error: fail") % {"uri": imported})
    done = helio("run", spec, "--local", "--json")
    assert done.status == 2, done.err
    assert "digit-0" in done.err
    assert "Traceback" not in done.err
