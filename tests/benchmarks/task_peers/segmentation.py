"""Membranes by U-Net, as torchvision's references/segmentation trains, with a Dice loss beside."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import Dataset, default_collate
from torchvision.transforms import v2
from torchvision.tv_tensors import Mask

from heliostat.vision.segmentation.unet import unet

CLASSES = 2
IGNORED = 255
IMAGES = 24
"""Of 30: whole batches, and the spec's test is left alone."""
LEARNING_RATE = 3e-3
MEAN, STD = 0.49, 0.17
"""Of these images on 0..1."""

TRANSFORMS = v2.Compose(
    [
        v2.ToImage(),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomRotation(degrees=180, fill=IGNORED),
        v2.RandomCrop(size=256),
        v2.ElasticTransform(alpha=100.0, sigma=5.0, fill=IGNORED),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([MEAN], [STD]),
        v2.ToPureTensor(),
    ]
)


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Normalised images float32 (1, 256, 256), and their classes uint8 (256, 256)."""

    collate = staticmethod(default_collate)

    def __init__(self, folder: Path) -> None:
        """Read `train/image/0.png`, …, and `train/label/` beside."""
        self._images = sorted((folder / "train" / "image").glob("*.png"))[:IMAGES]
        self._masks = [folder / "train" / "label" / image.name for image in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        with Image.open(self._images[index]) as file:
            image = file.convert("L")
        with Image.open(self._masks[index]) as file:
            mask = v2.functional.pil_to_tensor(file.convert("L"))[0] // 255
        sample: tuple[Tensor, Tensor] = TRANSFORMS(image, Mask(mask))
        return sample


class Training:
    """One network under DDP."""

    def __init__(self, steps: int) -> None:
        """Build all for so many steps."""
        net = unet(CLASSES, in_channels=1, base=16)
        self._net = DistributedDataParallel(net, gradient_as_bucket_view=True)
        self._optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, fused=True)
        self._schedule = OneCycleLR(
            self._optimizer, LEARNING_RATE, total_steps=steps, cycle_momentum=False
        )

    def step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Take one step of the cross-entropy and half the Dice loss."""
        images, masks = batch
        masks = masks.long()
        logits = self._net(images)
        loss = functional.cross_entropy(logits, masks, ignore_index=IGNORED)
        loss = loss + 0.5 * dice_loss(logits, masks)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        return loss.detach()


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 minus the mean Dice coefficient of samples and classes, of what is not ignored."""
    counted = (masks != IGNORED)[:, None]
    probabilities = logits.softmax(dim=1) * counted
    truth = functional.one_hot(masks.where(masks != IGNORED, 0), CLASSES).movedim(3, 1) * counted
    overlap = (probabilities * truth).sum(dim=(2, 3))
    sides = probabilities.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return (1 - 2 * overlap / sides.clamp(min=1)).mean()
