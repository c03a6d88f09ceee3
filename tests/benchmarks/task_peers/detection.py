"""Blood cells by FCOS, as torchvision's references/detection trains: the model has its own losses.

The transforms stay on uint8 until the last, which is faster than the references' order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import Dataset
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes

from heliostat.vision.detection.standalone import fcos_small

CLASSES = ("Platelets", "RBC", "WBC")
IMAGES = 200
"""Of 205: whole batches."""
LEARNING_RATE = 2e-3

TRANSFORMS = v2.Compose(
    [
        v2.ToImage(),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.ColorJitter(brightness=0.2, contrast=0.2),
        v2.ToDtype(torch.float32, scale=True),
        v2.ToPureTensor(),
    ]
)

Target = dict[str, Tensor]


class Images(Dataset[tuple[Tensor, Target]]):
    """Images float32 (3, 480, 640) on 0..1, and boxes as torchvision's detectors want them."""

    def __init__(self, folder: Path) -> None:
        """Read the annotations of Pascal VOC's layout."""
        names = (folder / "ImageSets" / "Main" / "train.txt").read_text().split()[:IMAGES]
        self._images = [folder / "JPEGImages" / f"{name}.jpg" for name in names]
        self._objects = [read_objects(folder / "Annotations" / f"{name}.xml") for name in names]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        with Image.open(self._images[index]) as file:
            image = file.convert("RGB")
        boxes, labels = self._objects[index]
        size = (image.height, image.width)
        target = {
            "boxes": BoundingBoxes(boxes, format="XYXY", canvas_size=size),
            "labels": labels,
        }
        sample: tuple[Tensor, Target] = TRANSFORMS(image, target)
        return sample

    @staticmethod
    def collate(samples: Any) -> tuple[list[Tensor], list[Target]]:
        """Return the images and the targets, each a list: images may differ in size."""
        images, targets = zip(*samples, strict=True)
        return list(images), list(targets)


class Training:
    """One network under DDP."""

    def __init__(self, steps: int) -> None:
        """Build all for so many steps."""
        net = fcos_small(len(CLASSES), min_size=240).net.train()
        net = net.to(memory_format=torch.channels_last)
        self._net = DistributedDataParallel(net, gradient_as_bucket_view=True)
        self._optimizer = torch.optim.AdamW(
            net.parameters(), lr=LEARNING_RATE, weight_decay=0.05, fused=True
        )
        self._schedule = OneCycleLR(
            self._optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
        )

    def step(self, batch: tuple[list[Tensor], list[Target]]) -> Tensor:
        """Take one step of the sum of the model's losses."""
        loss = torch.stack(list(self._net(*batch).values())).sum()
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._net.parameters(), 10.0)
        self._optimizer.step()
        self._schedule.step()
        return loss.detach()


def read_objects(file: Path) -> tuple[Tensor, Tensor]:
    """Return the boxes that have an area, float32 (k, 4) XYXY, and their labels int64 (k,)."""
    boxes, labels = [], []
    for found in ElementTree.parse(file).iter("object"):
        left, top, right, bottom = (
            float(found.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
        if right > left and bottom > top:
            boxes.append((left - 1, top - 1, right, bottom))
            labels.append(CLASSES.index(found.findtext("name", "")))
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels)
