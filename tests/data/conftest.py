from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heliostat.data import Samples, open_source
from heliostat.spec.sources import Source


@pytest.fixture
def digits() -> Samples:
    """scikit-learn's 1,797 digits."""
    return open_source(Source(uri="sklearn:digits"))


@pytest.fixture
def class_folder(digits: Samples, png: Callable[[int], bytes], tmp_path: Path) -> Path:
    """The first 60 digits as PNG files, in train/ and val/, one folder a class."""
    assert digits.labels is not None
    for index in range(60):
        split = "train" if index < 40 else "val"
        folder = tmp_path / "folder" / split / f"digit-{digits.labels[index]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index:03}.png").write_bytes(png(index))
    return tmp_path / "folder"


@pytest.fixture
def png(digits: Samples) -> Callable[[int], bytes]:
    """Return a function that gives a digit as the content of a PNG file."""

    def encoded(index: int) -> bytes:
        inputs, _ = digits.read(np.array([index]))
        file = io.BytesIO()
        Image.fromarray(inputs[0, 0].numpy()).save(file, "PNG")
        return file.getvalue()

    return encoded
