"""The shipped workloads, each from training to predictions, on the formats that they are for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from command import ROOT, Helio, sets
from heliostat.cli.main import main
from heliostat.data import open_source
from heliostat.spec import Source
from make_cifar_like import write_cifar_like

JOBS = ROOT / "jobs"
NEED_DATA = {"fashion_mnist", "cifar10"}
BUNDLED = sorted(spec for spec in JOBS.rglob("*.yaml") if spec.parent.name not in NEED_DATA)

# Enough to go through every part of a job, and little enough to take seconds.
FEW = ["data.train.split=train[:300]", "data.val.split=train[300:500]", "max_steps=3"]
FEW_TESTED = "test[:100]"

Here = Callable[..., dict[str, Any]]


@pytest.fixture
def here(
    helio: Helio, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Here:
    """Type `helio … --json` in this process, which pays for its imports once; it must succeed."""
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HELIO_HOME", str(helio.home))

    def typed(*args: str | Path, settings: Sequence[str] = ()) -> dict[str, Any]:
        status = main([*map(str, args), *sets(settings), "--json"])
        out, err = capfd.readouterr()
        assert status == 0, err
        document: dict[str, Any] = json.loads(out)
        return document

    return typed


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
def test_a_workload_trains_evaluates_and_predicts(
    workload: str,
    model: str,
    written: Callable[[Path, Path], Path],
    here: Here,
    helio: Helio,
    shared_data: Path,
    tmp_path: Path,
) -> None:
    folder, specs = written(shared_data / "fashion-mnist", tmp_path / "data"), JOBS / workload
    tested = [f"uri={folder}", f"split={FEW_TESTED}"]
    places = [f"data.{split}.uri={folder}" for split in ("train", "val", "test")]
    settings = [*FEW, *places, f"data.test.split={FEW_TESTED}", "batch_size=64"]
    trained = here("run", specs / "train.yaml", "--local", settings=settings)
    assert trained["status"] == "FINISHED"
    assert trained["model"].startswith(f"models:/{model}/")
    assert (helio.folder(trained["job"]) / "model" / "model.pt2").is_file()
    assert trained["metrics"]["test/seen"] == 100

    settings = [f"model={trained['model']}", *(f"data.{place}" for place in tested)]
    evaluated = here("run", specs / "evaluate.yaml", "--local", settings=settings)
    for name in ("test/accuracy", "test/top5_accuracy", "test/seen"):
        assert evaluated["metrics"][name] == trained["metrics"][name]

    output = tmp_path / "predictions.parquet"
    settings = [f"model={trained['model']}", *(f"input.{place}" for place in tested)]
    predicted = here(
        "run", specs / "predict.yaml", "--local", settings=[*settings, f"output={output}"]
    )
    assert predicted["output"] == str(output)
    assert pq.read_table(output).num_rows == 100


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
def test_fashion_mnist_is_learnt_to_92_5_percent_in_five_epochs_by_two_workers(
    helio: Helio, shared_data: Path
) -> None:
    folder = shared_data / "fashion-mnist"
    places = sets([f"data.{split}.uri={folder}" for split in ("train", "val", "test")])
    process = helio.start("run", JOBS / "fashion_mnist" / "train.yaml", "--json", *places)
    out, err = process.communicate()
    assert process.returncode == 0, err
    outcome = json.loads(out)
    assert outcome["metrics"]["test/accuracy"] >= 0.925
    assert outcome["metrics"]["test/seen"] == 10_000
