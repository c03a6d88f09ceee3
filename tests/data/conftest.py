from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

import s3 as s3_support
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


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server's endpoint."""
    with s3_support.s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an empty bucket at a server that boto3 finds by the environment."""
    s3_support.use(monkeypatch, s3_endpoint)
    bucket = f"test-{uuid4().hex}"
    s3_support.make_bucket(bucket)
    return f"s3://{bucket}"
