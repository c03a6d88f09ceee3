"""The shipped specs: each workload on the formats that it is for, and all of them checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_cifar_like import write_cifar_like
from PIL import Image

from command import ROOT, Helio, Here, sets
from heliostat.data import open_source
from heliostat.spec import Source

JOBS = ROOT / "jobs"
NEED_DATA = {
    *("fashion_mnist", "cifar10", "bccd", "isbi", "isbi_cyclegan", "fashion_mnist_gan"),
    *("keras_cnn", "own_weights", "imagenet", "coco"),
}
BUNDLED = sorted(spec for spec in JOBS.rglob("*.yaml") if spec.parent.name not in NEED_DATA)

# Enough to go through every part of a job, and little enough to take seconds.
FEW = [
    "data.train.split=train[:300]",
    "data.val.split=train[300:500]",
    "data.test.split=test[:100]",
    "batch_size=64",
    "max_steps=3",
]


def idx_files(fashion_mnist: Path, folder: Path) -> Path:
    """Return Fashion-MNIST as it is: four IDX files."""
    return fashion_mnist


def python_batches(fashion_mnist: Path, folder: Path) -> Path:
    """Return a folder of CIFAR-10's python batches, 600 images in all."""
    return write_cifar_like(fashion_mnist, folder, batch=100)


def class_folders(fashion_mnist: Path, folder: Path) -> Path:
    """Return folders of PNG files, train/<class>/ and test/<class>/."""
    for split, count in (("train", 500), ("test", 100)):
        samples = open_source(Source(uri=str(fashion_mnist), split=split), image_size=(32, 32))
        inputs, targets = samples.read(np.arange(count))
        for number, (image, label) in enumerate(zip(inputs.numpy(), targets.tolist(), strict=True)):
            path = folder / split / f"class-{label}" / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).convert("RGB").save(path)
    return folder


@pytest.mark.parametrize(
    ("workload", "model", "written"),
    [
        ("fashion_mnist", "fashion-mnist", idx_files),
        ("cifar10", "cifar10", python_batches),
        ("cifar10", "cifar10", class_folders),
    ],
)
def test_a_workload_trains_and_what_it_registers_can_be_evaluated_and_predicted_with(
    workload: str,
    model: str,
    written: Callable[[Path, Path], Path],
    here: Here,
    helio: Helio,
    shared_data: Path,
    tmp_path: Path,
) -> None:
    folder, specs = written(shared_data / "fashion-mnist", tmp_path / "data"), JOBS / workload
    places = [f"data.{split}.uri={folder}" for split in ("train", "val", "test")]
    outcome = here("run", specs / "train.yaml", "--local", settings=[*FEW, *places])
    assert outcome["status"] == "FINISHED"
    assert outcome["metrics"]["val/seen"] == 200
    assert outcome["metrics"]["test/seen"] == 100
    assert 0 <= outcome["metrics"]["test/accuracy"] <= outcome["metrics"]["test/top5_accuracy"]
    assert outcome["model"].startswith(f"models:/{model}/")
    assert (helio.folder(outcome["job"]) / "model" / "model.pt2").is_file()

    settings = [f"model={outcome['model']}", f"data.uri={folder}"]
    here("check", specs / "evaluate.yaml", settings=settings)
    settings = [
        f"model={outcome['model']}",
        f"input.uri={folder}",
        f"output={tmp_path}/new.parquet",
    ]
    here("check", specs / "predict.yaml", settings=settings)


@pytest.mark.usefixtures("digits")
def test_every_spec_whose_data_is_bundled_is_found_sound(here: Here, tmp_path: Path) -> None:
    predict = [spec for spec in BUNDLED if spec.stem == "predict"]
    others = [spec for spec in BUNDLED if spec.stem != "predict"]
    assert {spec.parent.name for spec in others} >= {"digits", "own_dataset", "own_loop"}
    output = f"output={tmp_path}/predictions.parquet"
    found = here("check", *others)["specs"] + here("check", *predict, settings=[output])["specs"]
    assert [verdict["file"] for verdict in found if verdict["ok"]] == list(
        map(str, [*others, *predict])
    )


@pytest.mark.slow
def test_fashion_mnist_is_learnt_to_93_5_percent_by_two_workers(
    helio: Helio, shared_data: Path
) -> None:
    folder = shared_data / "fashion-mnist"
    places = sets([f"data.{split}.uri={folder}" for split in ("train", "val", "test")])
    process = helio.start("run", JOBS / "fashion_mnist" / "train.yaml", "--json", *places)
    out, err = process.communicate()
    assert process.returncode == 0, err
    outcome = json.loads(out)
    assert outcome["metrics"]["test/accuracy"] >= 0.935
    assert outcome["metrics"]["test/seen"] == 10_000
