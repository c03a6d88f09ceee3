"""Cut the ISBI 2012 membranes into tiles of two domains: A, images, and B, masks.

    python jobs/isbi_cyclegan/prepare.py path/to/membrane data/isbi_cyclegan

The folder given holds the 30 slices as train/image/0.png and train/label/0.png to 29. At half
their size (256 pixels) they become tiles of 128. No slice that gives an image gives a mask to
learn from: of the first 23, those of an even number are trainA and the others trainB, so that
there is no true pair in training. Slices 23 and 24 are valA and valB, and the last five testA and
testB, in both domains under the same names: pairs to score by.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

TILE = 128
OVERLAPPING = 32
"""Pixels from one training tile to the next."""


def main(source: Path, target: Path) -> None:
    """Write trainA/, trainB/, valA/, valB/, testA/ and testB/ below `target`."""
    for number in range(30):
        image = Image.open(source / "train" / "image" / f"{number}.png").convert("L").reduce(2)
        mask = Image.open(source / "train" / "label" / f"{number}.png").convert("L").reduce(2)
        mask = mask.point([255 * (value >= 128) for value in range(256)])
        for folder, whole in folders(number, image, mask):
            (target / folder).mkdir(parents=True, exist_ok=True)
            for top, left in corners(OVERLAPPING if folder.startswith("train") else TILE):
                tile = whole.crop((left, top, left + TILE, top + TILE))
                tile.save(target / folder / f"{number:02}-{top:03}-{left:03}.png")


def folders(
    number: int, image: Image.Image, mask: Image.Image
) -> Iterator[tuple[str, Image.Image]]:
    """Yield where a slice's image and mask go to."""
    if number < 23:
        yield ("trainA", image) if number % 2 == 0 else ("trainB", mask)
        return
    split = "val" if number < 25 else "test"
    yield f"{split}A", image
    yield f"{split}B", mask


def corners(step: int) -> Iterator[tuple[int, int]]:
    """Yield the (top, left) of a slice's tiles."""
    places = range(0, 256 - TILE + 1, step)
    yield from ((top, left) for top in places for left in places)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
