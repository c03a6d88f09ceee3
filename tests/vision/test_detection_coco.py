"""A detector's metrics are COCO's, however the images are divided."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from heliostat.data import open_source
from heliostat.spec import Source
from heliostat.vision.detection import Detection
from heliostat.vision.mistakes import WrongTargets, WrongValue

Objects = dict[str, Tensor]


@pytest.fixture(scope="module")
def guesses() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def test_a_case_computed_by_hand() -> None:
    """Two true boxes of class a; found: one right, one wrong of higher score, one a bit off.

    At IoU 0.5 by falling score: wrong, right (recall 1/2, precision 1/2), right with IoU 0.6
    (recall 1, precision 2/3). Precision is the highest at that recall or beyond: 2/3 everywhere.
    From IoU 0.65 on the last is wrong: recall 1/2 with precision 1/2 at 51 of 101 recalls.
    """
    task = Detection(["a", "b"])
    evaluation = task.evaluation()
    truth = target([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 0])
    found = output(
        [[50, 50, 60, 60], [0, 0, 10, 10], [20, 20, 30, 26]], scores=[0.9, 0.8, 0.7], labels=[0] * 3
    )
    evaluation.update_outputs([found], [truth])
    figures = evaluation.compute()
    low = 51 / 101 / 2
    assert figures["ap50"] == figures["ap50/a"] == pytest.approx(2 / 3)
    assert figures["ap75"] == pytest.approx(low)
    assert figures["map"] == figures["ap/a"] == pytest.approx((3 * 2 / 3 + 7 * low) / 10)
    assert figures["ar"] == pytest.approx((3 * 1 + 7 * 0.5) / 10)
    assert figures["ap/b"] == figures["ap50/b"] == 0.0
    assert tuple(figures) == task.metrics


def test_figures_are_those_of_cocos_own_program_at_any_split_of_the_images(
    shared_data: Path, tmp_path: Path, guesses: torch.Generator
) -> None:
    samples = open_source(Source(uri=str(shared_data / "bccd" / "BCCD"), split="test[:24]"))
    _, targets = samples.read(np.arange(24))
    targets[3]["crowd"][0] = True
    outputs = [shaken(each, guesses) for each in targets]
    task = Detection(samples.classes)
    whole = task.evaluation()
    whole.update_outputs(outputs, targets)
    halves = [task.evaluation(), task.evaluation()]
    for half, part in zip(halves, (slice(0, 9), slice(9, 24)), strict=True):
        for one, truth in zip(outputs[part], targets[part], strict=True):
            half.update_outputs([{k: v.numpy() for k, v in one.items()}], [truth])
    counts = {name: sum(half.state()[name] for half in halves) for name in whole.state()}
    assert counts == whole.state()
    assert counts["images"] == 24
    halves[0].records = [*halves[0].records, *halves[1].records]
    assert halves[0].compute() == whole.compute()
    expected = reference(outputs, targets, len(samples.classes), tmp_path)
    found = whole.compute()
    assert [found[name] for name in ("map", "ap50", "ap75", "ar")] == expected
    assert 0.2 < found["map"] < found["ap50"] < 1


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong() -> None:
    single = target([[0, 0, 10, 10]], [0])
    crowded = target([[0, 0, 10, 10], [40, 40, 90, 90]], [0, 0], crowd=[False, True])
    found = output([[50, 50, 60, 60], [0, 0, 10, 10]], scores=[0.9, 0.8], labels=[0, 0])
    assert precision(found, single) == pytest.approx(0.5)
    assert precision(found, crowded) == pytest.approx(1)


def test_data_without_a_box_gives_zeros_and_pictures() -> None:
    evaluation = Detection(["a"]).evaluation()
    none = output([], [], [])
    evaluation.update_outputs([none], [target([], [])], [torch.zeros(3, 8, 8, dtype=torch.uint8)])
    assert set(evaluation.compute().values()) == {0.0}
    assert set(evaluation.pictures()) == {"precision_recall", "samples"}
    assert set(Detection(["a"]).evaluation().compute().values()) == {0.0}


def test_more_than_20_classes_have_no_figures_of_each() -> None:
    assert Detection([str(k) for k in range(21)]).metrics == ("map", "ap50", "ap75", "ar")


def test_outputs_of_another_kind_are_refused_in_one_line() -> None:
    evaluation = Detection(["a"]).evaluation()
    with pytest.raises(WrongValue, match=r"gives a Tensor for 1 images; detection needs a list"):
        evaluation.update_outputs(torch.zeros(1, 10), [target([], [])])
    ragged = output([[0, 0, 1, 1]], [0.5, 0.4], [0])
    with pytest.raises(WrongValue, match=r"of \(1, 4\), \(2,\), \(1,\); detection needs \(m, 4\)"):
        evaluation.update_outputs([ragged], [target([], [])])


@pytest.mark.parametrize(
    ("targets", "has"),
    [
        (torch.zeros(2, dtype=torch.int64), "a class for each image"),
        ([{"mask": torch.zeros(4, 4)}] * 2, "a mask for each image"),
        (None, "no targets"),
    ],
)
def test_data_of_another_task_is_refused_in_one_line(targets: object, has: str) -> None:
    with pytest.raises(WrongTargets, match=f"the data has {has}; detection needs boxes"):
        Detection(["a"]).check_samples([torch.zeros(3, 4, 4)] * 2, targets)


def test_a_label_beyond_the_classes_is_refused() -> None:
    from_one = [target([[0, 0, 1, 1]], [2])]
    with pytest.raises(WrongTargets, match="label is 2; 2 classes have 0 to 1"):
        Detection(["a", "b"]).check_samples([torch.zeros(3, 4, 4)], from_one)


def target(boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> Objects:
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "crowd": torch.tensor(crowd or [False] * len(labels), dtype=torch.bool),
    }


def output(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Objects:
    found = target(boxes, labels)
    return {"boxes": found["boxes"], "labels": found["labels"], "scores": torch.tensor(scores)}


def precision(found: Objects, truth: Objects) -> float:
    evaluation = Detection(["a"]).evaluation()
    evaluation.update_outputs([found], [truth])
    return evaluation.compute()["ap50"]


def shaken(truth: Objects, guesses: torch.Generator) -> Objects:
    """Return detections: the true boxes moved by some pixels, some with another class, twice."""
    boxes, labels = truth["boxes"].as_subclass(Tensor).repeat(2, 1), truth["labels"].repeat(2)
    moved = boxes + 6 * torch.randn(boxes.shape, generator=guesses)
    moved[:, 2:] = torch.maximum(moved[:, 2:], moved[:, :2] + 1)
    wrong = torch.rand(len(labels), generator=guesses) < 0.15
    scores = (torch.rand(len(labels), generator=guesses) * 20).round() / 20  # many equal ones
    return {"boxes": moved, "labels": torch.where(wrong, 0, labels), "scores": scores}


def reference(
    outputs: list[Objects], targets: list[Objects], classes: int, folder: Path
) -> list[float]:
    """Return what pycocotools says of the same boxes, given as its users give them: as files."""
    truth, found = [], []
    for image, (one, true) in enumerate(zip(outputs, targets, strict=True)):
        for box, label, crowd in zip(*(v.tolist() for v in true.values()), strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            truth.append(
                {"id": len(truth) + 1, "image_id": image, "category_id": label, "bbox": sides,
                 "area": sides[2] * sides[3], "iscrowd": int(crowd)}
            )  # fmt: skip
        for box, label, score in zip(*(v.tolist() for v in one.values()), strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            found.append({"image_id": image, "category_id": label, "bbox": sides, "score": score})
    images = [{"id": number} for number in range(len(targets))]
    categories = [{"id": number, "name": str(number)} for number in range(classes)]
    annotations = {"images": images, "categories": categories, "annotations": truth}
    (folder / "truth.json").write_text(json.dumps(annotations))
    (folder / "found.json").write_text(json.dumps(found))
    with redirect_stdout(StringIO()):
        coco = COCO(str(folder / "truth.json"))
        evaluator = COCOeval(coco, coco.loadRes(str(folder / "found.json")), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(evaluator.stats[place]) for place in (0, 1, 2, 8)]
