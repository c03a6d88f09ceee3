"""Every detector by name, on real photos and their boxes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from heliostat.data import open_source
from heliostat.spec import Source
from heliostat.vision import models, tasks
from heliostat.vision.detection import CATALOGUE, Detection, standalone
from heliostat.vision.mistakes import UnknownName, WrongArguments, WrongTargets, WrongValue

# Small inside, so that each takes a second or two; the SSDs have a size of their own.
SMALL: dict[str, Any] = {"min_size": 96, "max_size": 160}
FEW: dict[str, Any] = {"rpn_post_nms_top_n_train": 60, "box_batch_size_per_image": 16}

CLASSES = ["Platelets", "RBC", "WBC"]
PARTS = {
    "fasterrcnn": {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"},
    "fcos": {"classification", "bbox_regression", "bbox_ctrness"},
    "retinanet": {"classification", "bbox_regression"},
    "ssd300": {"classification", "bbox_regression"},
    "ssdlite320": {"classification", "bbox_regression"},
}

Cells = tuple[list[Tensor], list[dict[str, Tensor]]]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same weights at every run."""
    torch.manual_seed(0)


@pytest.fixture
def cells(shared_data: Path) -> Cells:
    """Two photos of blood cells; a box of the first is a crowd's, one of the second is flat."""
    samples = open_source(Source(uri=str(shared_data / "bccd" / "BCCD"), split="train[:2]"))
    inputs, targets = samples.read(np.arange(2))
    targets[0]["crowd"][0] = True
    targets[1]["boxes"][0, 2:] = targets[1]["boxes"][0, :2]
    return inputs, targets


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_a_detector_by_name_learns_from_photos_also_without_a_box_and_finds_boxes(
    name: str, cells: Cells
) -> None:
    images, targets = cells
    task = Detection(CLASSES)
    model = detector(name, small(name))
    without = [{key: value[:0] for key, value in target.items()} for target in targets]
    for batch in (targets, without):
        losses = task.loss(model.train(), images, batch)
        assert set(losses) == PARTS[name.split("_")[0]]
        assert all(loss.shape == (2,) and loss.isfinite().all() for loss in losses.values())
        model.zero_grad()
        sum(losses.values()).mean().backward()
        # All of them, as DDP expects.
        assert [n for n, p in model.named_parameters() if p.grad is None] == []
    with torch.no_grad():
        outputs = task.predictor(model.eval())(images)
    for found, image in zip(outputs, images, strict=True):
        height, width = image.shape[1:]
        assert found["boxes"].shape == (len(found["scores"]), 4)
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"] <= torch.tensor([width, height] * 2) + 1e-3).all()
        assert set(found["labels"].tolist()) <= {0, 1, 2}
    evaluation = task.evaluation()
    evaluation.update_outputs(outputs, targets, images)
    assert set(evaluation.compute()) == set(task.metrics)


def test_the_small_detector_learns_two_photos_by_heart(cells: Cells) -> None:
    images, targets = cells
    task = Detection(CLASSES)
    model = detector("fcos_small", {"min_size": 128}).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=30)
    for _ in range(30):
        optimizer.zero_grad()
        sum(task.loss(model, images, targets).values()).mean().backward()
        optimizer.step()
        schedule.step()
    evaluation = task.evaluation()
    with torch.no_grad():
        evaluation.update(model.eval(), images, targets)
    assert evaluation.compute()["ap50/RBC"] > 0.8


def test_ssdlite_learns_from_a_lone_image_as_the_last_batch_may_be(cells: Cells) -> None:
    model = detector("ssdlite320_mobilenet_v3_large", {}).train()
    losses = Detection(CLASSES).loss(model, cells[0][:1], cells[1][:1])
    assert all(loss.shape == (1,) and loss.isfinite().all() for loss in losses.values())


def test_faster_rcnn_learns_where_there_is_neither_a_box_nor_a_proposal(cells: Cells) -> None:
    images, targets = cells
    model: Any = detector("fasterrcnn_mobilenet_v3_large_320_fpn", SMALL).train()
    nn.init.constant_(model.net.rpn.head.cls_logits.bias, -20.0)
    without = [{key: value[:0] for key, value in target.items()} for target in targets]
    losses = Detection(["a", "b", "c"]).loss(model, images, without)
    assert all(loss.isfinite().all() for loss in losses.values())
    assert model.net.rpn.score_thresh == 0.05


def test_grey_images_are_repeated_and_a_tensor_is_taken_like_a_list(cells: Cells) -> None:
    images = [image.as_subclass(Tensor)[1:2] for image in cells[0]]
    model = detector("fcos_small", {**SMALL, "score_thresh": 0.01}).eval()
    with torch.no_grad():
        grey = model(images)
        assert len(grey[0]["boxes"]) > 0
        for other in (
            model([image.repeat(3, 1, 1) for image in images]),
            model(torch.stack(images)),
        ):
            for one, same in zip(grey, other, strict=True):
                assert all(torch.equal(one[key], same[key]) for key in one)
        with pytest.raises(ValueError, match=r"takes images \(1 or 3, H, W\), not \(4, 32, 32\)"):
            model([torch.zeros(4, 32, 32, dtype=torch.uint8)])


def test_the_network_is_spared_crowds_and_flat_boxes_and_keeps_its_background(
    cells: Cells,
) -> None:
    images, targets = cells
    echo = Echo()
    model = standalone.Detector(echo, 3, first_label=1)
    task = Detection(CLASSES)
    assert set(task.loss(model.train(), images, targets)) == {"loss"}
    for seen, target in zip(echo.targets, targets, strict=True):
        assert torch.equal(seen["labels"], target["labels"][1:] + 1)
        assert torch.equal(seen["boxes"], target["boxes"][1:].as_subclass(Tensor))
    assert [found["labels"].tolist() for found in model.eval()(images)] == [[2], [2]]
    assert echo.range == (float(torch.stack(images).min() / 255), 1.0)


def test_a_network_of_the_users_own_becomes_a_detector_with_the_datas_classes(cells: Cells) -> None:
    task = Detection(["a", "b", "c"])
    whole: Any = tasks.assemble(task, Echo(), None, None)
    assert (whole.num_classes, whole.first_label) == (3, 0)
    assert tasks.assemble(task, whole, None, None) is whole


def test_a_model_for_another_number_of_classes_is_refused_in_one_line(cells: Cells) -> None:
    evaluation = Detection(["a", "b"]).evaluation()
    with pytest.raises(WrongValue, match="the model finds 3 classes, and the data has 2"):
        evaluation.update(detector("fcos_small", SMALL).eval(), *cells)
    with pytest.raises(WrongTargets, match="label is 2; 2 classes have 0 to 1"):
        Detection(["a", "b"]).loss(detector("fcos_small", SMALL).train(), *cells)


def test_bfloat16_gives_finite_losses_and_float32_boxes(cells: Cells) -> None:
    model = detector("fcos_small", SMALL).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = Detection(["a", "b", "c"]).loss(model, *cells)
        assert all(loss.isfinite().all() for loss in losses.values())
        with torch.no_grad():
            found = model.eval()(cells[0])[0]
    assert (found["boxes"].dtype, found["scores"].dtype) == (torch.float32, torch.float32)


def test_wrong_names_arguments_and_values_are_told_in_one_line() -> None:
    with pytest.raises(UnknownName, match="nearest: fcos_small"):
        models.check("fcos_smal", {}, CATALOGUE)
    with pytest.raises(WrongArguments, match="takes no argument 'min_size'; it takes num_classes"):
        models.check("ssd300_vgg16", {"min_size": 320}, CATALOGUE)
    with pytest.raises(WrongValue, match="three anchor_sizes are needed, one a level, not 2"):
        detector("fcos_small", {"anchor_sizes": [8, 16]})
    with pytest.raises(UnknownName, match="fcos_small is a model for detection"):
        tasks.check_model("classification", "fcos_small", {})
    models.check("fasterrcnn_resnet50_fpn", {"box_score_thresh": 0.1, "min_size": 400}, CATALOGUE)
    models.check("fcos_small", {"min_size": [288, 320], "anchor_sizes": [4, 8, 16]}, CATALOGUE)


def test_the_file_beside_a_model_builds_it_without_heliostat(tmp_path: Path, cells: Cells) -> None:
    model = detector("fcos_small", {**SMALL, "score_thresh": 0.01}).eval()
    image = cells[0][0].as_subclass(Tensor)
    with torch.no_grad():
        expected = model([image])[0]
    assert len(expected["boxes"]) > 0
    save_file({"image": image, **expected}, tmp_path / "expected.safetensors")
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "detector_code.py").write_text(Path(standalone.__file__).read_text())
    (tmp_path / "load.py").write_text(ELSEWHERE)
    command = [sys.executable, "-P", "load.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


ELSEWHERE = """
import sys
sys.path.insert(0, ".")
import detector_code
import torch
from safetensors.torch import load_file
assert "torchvision" not in sys.modules
torch.set_num_threads(1)
args = {"min_size": 96, "max_size": 160, "score_thresh": 0.01}
model = detector_code.build("fcos_small", num_classes=3, **args).eval()
model.load_state_dict(load_file("weights.safetensors"))
expected = load_file("expected.safetensors")
with torch.no_grad():
    found = model([expected.pop("image")])[0]
assert all(torch.equal(found[key], expected[key]) for key in expected)
assert not any(name.startswith("heliostat") for name in sys.modules)
"""


class Echo(nn.Module):
    """A network of torchvision's kind that keeps what it is given, and finds one box."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, images: list[Tensor], targets: Any = None) -> Any:
        if self.training:
            self.targets = targets
            return {"loss": self.weight * 2}
        low, high = torch.stack(images).aminmax()
        self.range = (float(low), float(high))
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        return [
            {"boxes": box, "scores": torch.ones(1), "labels": torch.tensor([3])} for _ in images
        ]


def small(name: str) -> dict[str, Any]:
    if name.startswith("ssd"):
        return {}
    return {**SMALL, **FEW} if name.startswith("fasterrcnn") else SMALL


def detector(name: str, args: dict[str, Any]) -> nn.Module:
    return models.build(name, args, num_classes=3, in_channels=3, catalogue=CATALOGUE)
