"""Small tiles of large photographs: which photograph is a tile from?

A map-style torch Dataset needs `__len__` and `__getitem__`, which gives (input, target). With
`classes` the metrics and pictures have names; with `targets` labels are known without reading.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.utils.data import Dataset


class Tiles(Dataset[tuple[Tensor, int]]):
    """Square tiles of `size` pixels side by side, float32 (3, size, size) on 0..1.

    With `flip` each is mirrored half of the time. What `__getitem__` draws at random (from torch,
    NumPy or `random`) is a function of the spec's seed, the epoch and the item: a restart, or
    another number of workers, changes nothing.
    """

    classes = ("china", "flower")

    def __init__(self, size: int = 32, flip: bool = False) -> None:
        self.flip = flip
        photographs = [load_sample_image(f"{name}.jpg") for name in self.classes]
        tiles = [_cut(torch.tensor(photograph), size) for photograph in photographs]
        self.tiles = torch.cat(tiles)
        self.targets = [number for number, some in enumerate(tiles) for _ in some]

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        tile = self.tiles[index].float() / 255
        if self.flip and torch.rand(()) < 0.5:
            tile = tile.flip(-1)
        return tile, self.targets[index]


def _cut(photograph: Tensor, size: int) -> Tensor:
    """Return the whole tiles (n, 3, size, size) of a photograph (height, width, 3)."""
    rows = photograph.permute(2, 0, 1).unfold(1, size, size).unfold(2, size, size)
    return rows.permute(1, 2, 0, 3, 4).reshape(-1, 3, size, size)
