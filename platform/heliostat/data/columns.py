"""The columns of an imported data set: Arrow's types, and records as rows of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from heliostat.data.records import Kind, Objects, Polygons, Rle

if TYPE_CHECKING:
    import pyarrow as pa

BLOBS = ("image.bytes", "mask")
"""The columns that are compressed in themselves."""


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """A record with its files read."""

    name: str
    image: bytes
    width: int
    """In pixels; 0 with height 0 where the header cannot be read."""
    height: int
    label: int | None
    objects: Objects | None
    mask: bytes | None

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return len(self.image) + len(self.mask or b"")


def schema(kind: Kind, classes: Sequence[str]) -> pa.Schema:
    """Return the columns for this kind, with what Hugging Face's `datasets` needs to know."""
    import pyarrow as pa

    columns = {
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "width": pa.int32(),
        "height": pa.int32(),
    }
    if kind in ("labels", "domains"):
        columns["label"] = pa.int64()
    elif kind == "objects":
        columns["objects"] = pa.list_(_object())
    elif kind == "masks":
        columns["mask"] = pa.binary()
    features = {name: _feature(name, type_, classes) for name, type_ in columns.items()}
    metadata = json.dumps({"info": {"features": features}})
    return pa.schema(list(columns.items()), metadata={"huggingface": metadata})


def batch(schema: pa.Schema, rows: Sequence[Row]) -> pa.RecordBatch:
    """Return rows as Arrow's arrays."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([_column(name, rows) for name in schema.names], schema=schema)


def content(rows: Sequence[Row]) -> bytes:
    """Return what is in rows, as bytes that differ where anything in them does."""
    parts: list[bytes] = []
    for row in rows:
        name, about = row.name.encode(), canonical(row)
        parts += (b"%d %d %d " % (len(name), len(row.image), len(about)), name, row.image, about)
    return b"".join(parts)


def canonical(row: Row) -> bytes:
    """Return what a row's annotations are, as bytes that differ where they differ."""
    if row.objects is None:
        return row.mask or (b"" if row.label is None else b"%d" % row.label)
    found = row.objects
    parts = [
        found.boxes.astype("<f4").tobytes(),
        found.classes.astype("<i4").tobytes(),
        found.crowd.astype("u1").tobytes(),
        *map(_outline, found.outlines),
    ]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _object() -> pa.DataType:
    import pyarrow as pa

    return pa.struct(
        [
            ("box", pa.list_(pa.float32(), 4)),
            ("class", pa.int32()),
            ("crowd", pa.bool_()),
            ("polygons", pa.list_(pa.list_(pa.float32()))),
            ("rle_height", pa.int32()),
            ("rle_width", pa.int32()),
            ("rle_counts", pa.binary()),
        ]
    )


def _feature(name: str, type_: pa.DataType, classes: Sequence[str]) -> Any:
    """Return a column's feature as `datasets` writes it: its versions 2 to 4 read this form."""
    import pyarrow as pa

    if name in ("image", "mask"):
        return {"_type": "Image"}
    if name in ("label", "class"):
        return {"names": list(classes), "_type": "ClassLabel"}
    if pa.types.is_struct(type_):
        return {field.name: _feature(field.name, field.type, classes) for field in type_}
    if pa.types.is_fixed_size_list(type_):
        item = _feature("", type_.value_type, classes)
        return {"feature": item, "length": type_.list_size, "_type": "Sequence"}
    if pa.types.is_list(type_):
        return [_feature("", type_.value_type, classes)]
    kind = {"float": "float32"}.get(str(type_), str(type_))
    return {"dtype": kind, "_type": "Value"}


def _column(name: str, rows: Sequence[Row]) -> pa.Array:
    import pyarrow as pa

    match name:
        case "image":
            contents = pa.array([row.image for row in rows], pa.binary())
            names = pa.array([row.name for row in rows], pa.string())
            return pa.StructArray.from_arrays([contents, names], ["bytes", "path"])
        case "width" | "height":
            return pa.array([getattr(row, name) for row in rows], pa.int32())
        case "label":
            return pa.array([row.label for row in rows], pa.int64())
        case "mask":
            return pa.array([row.mask for row in rows], pa.binary())
        case _:
            return _objects([row.objects for row in rows if row.objects is not None])


def _objects(found: Sequence[Objects]) -> pa.Array:
    import pyarrow as pa

    outlines = [outline for one in found for outline in one.outlines or [None] * len(one.classes)]
    polygons = [None if isinstance(one, Rle) else one for one in outlines]
    codes = [one if isinstance(one, Rle) else None for one in outlines]
    boxes = np.concatenate([one.boxes.reshape(-1) for one in found]).astype(np.float32)
    columns = [
        pa.FixedSizeListArray.from_arrays(pa.array(boxes), 4),
        pa.array(np.concatenate([one.classes for one in found]).astype(np.int32)),
        pa.array(np.concatenate([one.crowd for one in found])),
        pa.array(polygons, _object().field("polygons").type),
        pa.array([code and code.size[0] for code in codes], pa.int32()),
        pa.array([code and code.size[1] for code in codes], pa.int32()),
        pa.array([code and code.counts for code in codes], pa.binary()),
    ]
    offsets = list(accumulate((len(one.classes) for one in found), initial=0))
    values = pa.StructArray.from_arrays(columns, fields=list(_object()))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _outline(outline: Polygons | Rle) -> bytes:
    if isinstance(outline, Rle):
        return b"rle %d %d %b" % (*outline.size, outline.counts)
    polygons = [np.asarray(polygon, "<f4").tobytes() for polygon in outline]
    return b"".join(b"%d:%b" % (len(polygon), polygon) for polygon in polygons)
