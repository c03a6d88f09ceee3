"""Every task from its shipped spec: trained a little, evaluated, registered, predicted with."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from command import ROOT, Helio, Here
from heliostat.data.formats import open_listing

JOBS = ROOT / "jobs"

LITTLE: dict[str, list[str]] = {
    "bccd": [
        "model.args={min_size: 96}",
        "data.train.split=train[:4]",
        "data.val.split=val[:2]",
        "data.test.split=test[:3]",
        "batch_size=2",
    ],
    "isbi": [
        "model.args={base: 4, depth: 2}",
        "data.image_size=64",
        "data.train.split=train[:4]",
        "data.test.split=train[25:28]",
        "data.augment=[RandomHorizontalFlip, {ElasticTransform: {fill: 255}}]",
        "batch_size=2",
    ],
    "fashion_mnist": [
        "model.name=cnn_small",
        "register.when=always",
        "data.train.split=train[:64]",
        "data.val.split=train[64:96]",
        "data.test.split=test[:32]",
        "batch_size=16",
    ],
    "fashion_mnist_gan": [
        "objective=null",
        "register.when=always",
        "data.train.split=train[:64]",
        "data.val.split=train[64:96]",
        "data.test.split=test[:32]",
        "model.args={width: 4}",
        "batch_size=16",
    ],
    "isbi_cyclegan": [
        "model.args={width: 4, blocks: 1, layers: 1}",
        "data.train.split=train[:4]",
        "batch_size=2",
    ],
}


@pytest.fixture
def data(request: pytest.FixtureRequest, shared_data: Path, tmp_path: Path) -> Path:
    """Return where a workload's data is: as it is, or prepared by the workload's own script."""
    workload = request.getfixturevalue("workload")
    folders = {
        "bccd": "bccd/BCCD",
        "isbi": "isbi-em-membrane",
        "fashion_mnist_gan": "fashion-mnist",
    }
    if workload in folders:
        return shared_data / folders[workload]
    script = JOBS / workload / "prepare.py"
    source = shared_data / "isbi-em-membrane" / "data" / "membrane"
    subprocess.run([sys.executable, script, source, tmp_path / "prepared"], check=True)
    return tmp_path / "prepared"


def trained(workload: str, here: Here, data: Path, *changes: str) -> dict[str, Any]:
    """Return the outcome of two steps by the shipped spec."""
    splits = ("train", "test") if workload == "isbi" else ("train", "val", "test")
    places = [f"data.{split}.uri={data}" for split in splits]
    settings = [*LITTLE[workload], *places, "max_steps=2", "epochs=null", *changes]
    outcome = here("run", JOBS / workload / "train.yaml", "--local", settings=settings)
    assert outcome["status"] == "FINISHED"
    assert outcome["model"] is not None
    return outcome


def predicted(
    workload: str, here: Here, outcome: dict[str, Any], output: Path, *settings: str
) -> list[dict[str, Any]]:
    """Return the rows of a prediction by the shipped spec."""
    places = [f"model={outcome['model']}", f"output={output}", *settings]
    here("run", JOBS / workload / "predict.yaml", "--local", settings=places)
    rows: list[dict[str, Any]] = pq.read_table(output).to_pylist()
    assert all(row["error"] is None for row in rows)
    return rows


def evaluated(
    workload: str, here: Here, outcome: dict[str, Any], *settings: str
) -> dict[str, float]:
    """Return the metrics of an evaluation by the shipped spec."""
    places = [f"model={outcome['model']}", *settings]
    done = here("run", JOBS / workload / "evaluate.yaml", "--local", settings=places)
    metrics: dict[str, float] = done["metrics"]
    return metrics


def alike(one: dict[str, float], other: dict[str, float], names: Sequence[str]) -> bool:
    return [one[name] for name in names] == pytest.approx([other[name] for name in names])


LOADS = """
import sys
import mlflow
import numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
found = model.predict(np.zeros((1, 3, 120, 160), np.uint8))
assert sorted(found[0]) == ["boxes", "labels", "scores"], found
assert "heliostat" not in sys.modules
"""


@pytest.mark.parametrize("workload", ["bccd"])
def test_a_detector_predicts_boxes_in_pixels_of_the_source_and_loads_without_heliostat(
    workload: str, data: Path, here: Here, helio: Helio, tmp_path: Path
) -> None:
    outcome = trained(workload, here, data)
    split = [f"data.uri={data}", "data.split=test[:3]"]
    figures = evaluated(workload, here, outcome, *split)
    assert alike(figures, outcome["metrics"], ["test/map", "test/ap50", "test/ar", "test/seen"])
    rows = predicted(
        workload, here, outcome, tmp_path / "p", f"input.uri={data}", "input.split=test[:3]"
    )
    assert [(row["width"], row["height"]) for row in rows] == [(640, 480)] * 3
    found = [found for row in rows for found in row["objects"]]
    assert {each["label"] for each in found} <= {"RBC", "WBC", "Platelets"}
    boxes = np.array([each["box"] for each in found]).reshape(-1, 4)
    assert len(boxes)
    assert boxes.max(initial=0) > 96
    assert np.all((boxes >= 0) & (boxes <= [640, 480, 640, 480]))
    env = {name: value for name, value in helio.env.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS, helio.tracking, outcome["model"]],
        env={**env, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        cwd=helio.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workload", ["isbi"])
def test_a_segmenter_predicts_masks_as_large_as_the_source(
    workload: str, data: Path, here: Here, helio: Helio, tmp_path: Path
) -> None:
    outcome = trained(workload, here, data)
    figures = evaluated(workload, here, outcome, f"data.uri={data}", "data.split=train[25:28]")
    assert alike(figures, outcome["metrics"], ["test/mean_iou", "test/pixel_accuracy"])
    where = [f"input.uri={data}", "input.split=train[25:28]"]
    rows = predicted(workload, here, outcome, tmp_path / "p", *where)
    mask = np.asarray(Image.open(io.BytesIO(rows[0]["mask"])))
    assert mask.shape == (512, 512) == (rows[0]["height"], rows[0]["width"])
    assert set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize("workload", ["fashion_mnist_gan"])
def test_a_generator_predicts_images_by_seed_and_class(
    workload: str, data: Path, here: Here, helio: Helio, tmp_path: Path
) -> None:
    classifier = trained("fashion_mnist", here, data)["model"]
    outcome = trained(workload, here, data, f"task.args.features={classifier}")
    # The cache may be deleted: where the classifier was while training, it need not be any more.
    shutil.rmtree(helio.home / "cache" / "models")
    split = [f"data.uri={data}", "data.split=test[:32]", "batch_size=20"]
    figures = evaluated(workload, here, outcome, *split)
    measured = {name for name in outcome["metrics"] if name.startswith("test/")}
    assert figures.keys() == measured > {"test/frechet_distance", "test/class_accuracy"}
    assert alike(figures, outcome["metrics"], sorted(measured))
    rows = predicted(workload, here, outcome, tmp_path / "p", "input=seeds:12")
    assert [row["seed"] for row in rows] == list(range(12))
    assert rows[0]["label"] == rows[10]["label"] != rows[1]["label"]
    assert Image.open(io.BytesIO(rows[0]["image"])).size == (28, 28)
    assert rows[0]["image"] != rows[10]["image"]
    drawn = (helio.folder(outcome["job"]) / "pictures" / "val").glob("samples-*.png")
    assert len(list(drawn)) == 1


@pytest.mark.parametrize("workload", ["isbi_cyclegan"])
def test_a_translator_predicts_an_image_for_each(
    workload: str, data: Path, here: Here, tmp_path: Path
) -> None:
    outcome = trained(workload, here, data)
    assert {"test/cycle", "test/identity", "test/dice"} <= set(outcome["metrics"])
    figures = evaluated(workload, here, outcome, f"data.uri={data}", "batch_size=7")
    assert set(figures) == {"test/l1", "test/dice", "test/seen"}
    assert alike(figures, outcome["metrics"], sorted(figures))
    folder = data / "testA"
    rows = predicted(workload, here, outcome, tmp_path / "p", f"input.uri={folder}")
    assert len(rows) == len(list(folder.iterdir()))
    assert Image.open(io.BytesIO(rows[0]["image"])).mode == "L"


ONE_CPU = ["resources={workers: 1}", "precision=fp32", "max_steps=2", "epochs=null"]


def test_the_imagenet_job_trains_on_images_in_imagenets_layout(
    here: Here, shared_data: Path, tmp_path: Path
) -> None:
    photos = sorted((shared_data / "raccoon" / "images").glob("*.jpg"))
    places = [
        (split, wordnet) for split in ("train", "val") for wordnet in ("n02508021", "n02110063")
    ]
    for number, (split, name) in enumerate(places):
        folder = tmp_path / "imagenet" / split / name
        folder.mkdir(parents=True)
        for photo in photos[4 * number : 4 * number + 4]:
            (folder / f"{photo.stem}.JPEG").symlink_to(photo)
    sources = [f"data.{split}.uri={tmp_path / 'imagenet'}" for split in ("train", "val")]
    settings = [
        *sources,
        *ONE_CPU,
        "model.name=resnet18",
        "data.augment=[{random_resized_crop: {size: 64}}, horizontal_flip]",
        "data.image_size=64",
        "batch_size=4",
    ]
    outcome = here("run", JOBS / "imagenet" / "train.yaml", "--local", settings=settings)
    assert outcome["metrics"]["val/seen"] == 8
    assert outcome["model"] is not None


def test_the_coco_job_trains_on_images_in_cocos_layout(
    here: Here, shared_data: Path, tmp_path: Path
) -> None:
    listing = open_listing(shared_data / "bccd" / "BCCD")
    coco = tmp_path / "coco"
    (coco / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (coco / f"{split}2017").mkdir()
        content: dict[str, list[Any]] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": 7 + n, "name": name} for n, name in enumerate(listing.classes)],
        }
        for number, record in enumerate(listing.splits[split][:3]):
            assert isinstance(record.image, Path)
            assert record.objects is not None
            (coco / f"{split}2017" / record.image.name).symlink_to(record.image)
            about = {"id": number, "file_name": record.image.name, "width": 640, "height": 480}
            content["images"].append(about)
            for (left, top, right, bottom), label in zip(
                record.objects.boxes.tolist(), record.objects.classes.tolist(), strict=True
            ):
                box = [left, top, right - left, bottom - top]
                content["annotations"].append(
                    {"image_id": number, "category_id": 7 + label, "bbox": box}
                )
        file = coco / "annotations" / f"instances_{split}2017.json"
        file.write_text(json.dumps(content))
    settings = [
        *(f"data.{split}.uri={coco}" for split in ("train", "val")),
        *ONE_CPU,
        "model={name: fasterrcnn_mobilenet_v3_large_320_fpn, args: {min_size: 64, max_size: 96}}",
        "batch_size=2",
    ]
    outcome = here("run", JOBS / "coco" / "train.yaml", "--local", settings=settings)
    assert outcome["metrics"]["val/seen"] == 3
    assert "val/ap50/RBC" in outcome["metrics"]
    assert outcome["model"] is not None
