"""A dataset of a user's own: photos, and torchvision's transforms on each in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import v2


class Photos(Dataset[tuple[Any, int]]):
    """Items (image float32 (3, size, size), class)."""

    def __init__(self, root: str, size: int) -> None:
        folders = sorted(path for path in Path(root).iterdir() if path.is_dir())
        self.classes = [folder.name for folder in folders]
        self._files = [(f, n) for n, folder in enumerate(folders) for f in sorted(folder.iterdir())]
        self.targets = [number for _, number in self._files]
        self._transform = v2.Compose(
            [
                v2.ToImage(),
                v2.RandomResizedCrop(size, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, number = self._files[index]
        return self._transform(Image.open(path).convert("RGB")), number
