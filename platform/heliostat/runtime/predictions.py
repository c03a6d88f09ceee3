"""The Parquet file of a prediction: one row an input, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from heliostat.runtime.outputs import kind_of
from heliostat.runtime.registered_model import LocalModel
from heliostat.spec import InputError


def schema(model: LocalModel, job: str) -> pa.Schema:
    """Return the columns: the source, what the model's task gives, and why there is none of it.

    The metadata says which model it was; `heliostat.classes` is a JSON list: the
    order of `probabilities`, the meaning of a mask's values.
    """
    fields = [
        pa.field("source", pa.string(), nullable=False),
        *kind_of(model).fields,
        pa.field("error", pa.string()),
    ]
    metadata = {
        "heliostat.job": job,
        "heliostat.model": model.uri,
        "heliostat.model_name": model.name,
        "heliostat.model_version": str(model.version),
        "heliostat.run_id": model.run_id,
        "heliostat.task": model.task,
        "heliostat.classes": json.dumps(model.output_classes),
    }
    return pa.schema(fields, metadata=metadata)


@contextmanager
def writing(path: Path, columns: pa.Schema) -> Iterator[Any]:
    """Give a Parquet writer; the file takes its name only when everything is in it."""
    temporary = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pq.ParquetWriter(temporary, columns, compression="zstd") as writer:
            yield writer
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(output: str) -> Path:
    """Return the output's path; InputError where something is there or cannot be."""
    path = Path(output.removeprefix("file://"))
    if "://" in str(output) and not output.startswith("file://"):
        raise InputError.of(f"{output} cannot be written to", key=("output",), valid="a path")
    if path.exists():
        raise InputError.of(f"{path} exists already", key=("output",), valid="another path")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with TemporaryFile(dir=there):
            return path
    except OSError as error:
        raise InputError.of(
            f"{path} cannot be written ({there}: {error.strerror})",
            key=("output",),
            valid="another path",
        ) from error
