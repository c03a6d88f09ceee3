"""Rows become Parquet shards of a size."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from heliostat.data.columns import BLOBS, Row, batch
from heliostat.data.manifest import Shard
from heliostat.data.stores import Store, unusable

if TYPE_CHECKING:
    import pyarrow as pa


class ShardWriter:
    """Writes one split. Where rows are cut depends on the rows alone."""

    def __init__(
        self, store: Store, scratch: Path, split: str, schema: pa.Schema, shard_bytes: int
    ) -> None:
        """Write `<split>/<number>.parquet` of about `shard_bytes` by way of the scratch folder."""
        self.shards: list[Shard] = []
        self._store = store
        self._file = scratch / "shard.parquet"
        self._split = split
        self._schema = schema
        self._shard_bytes = shard_bytes
        self._group_bytes = min(shard_bytes, _GROUP_BYTES)
        self._rows: list[Row] = []
        self._row_bytes = 0
        self._open: _Open | None = None

    def add(self, row: Row) -> None:
        """Add a row."""
        self._rows.append(row)
        self._row_bytes += row.size
        if self._row_bytes >= self._group_bytes or len(self._rows) >= _GROUP_ROWS:
            self._write_rows()

    def close(self) -> None:
        """Write what is left."""
        if self._rows:
            self._write_rows()
        if self._open is not None:
            self._finish(self._open)

    def abandon(self) -> None:
        """Let go of the shard that is being written, if there is one."""
        if self._open is not None:
            # On a full disk the footer fails as well.
            with suppress(OSError):
                self._open.close()

    def _write_rows(self) -> None:
        try:
            shard = self._open = self._open or _Open(self._file, self._schema)
            shard.add(self._rows, self._row_bytes)
        except OSError as error:
            raise unusable(self._store.uri, error) from error
        self._rows, self._row_bytes = [], 0
        if shard.content >= self._shard_bytes:
            self._finish(shard)

    def _finish(self, shard: _Open) -> None:
        path = f"{self._split}/{len(self.shards):05}.parquet"
        try:
            shard.close()
            with self._file.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise unusable(self._store.uri, error) from error
        self._open = None
        # Said before it is there: what is half-way is to be removed as well.
        self.shards.append(Shard(path, shard.rows, self._file.stat().st_size, digest))
        self._store.upload(self._file, path)


# A reader takes a row group at a time: it must not be large, and each costs about 1 ms.
_GROUP_ROWS = 500
_GROUP_BYTES = 16 * 2**20


class _Open:
    """A shard that is being written."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self.rows = 0
        self.content = 0
        leaves = _leaves(schema)
        small = [leaf for leaf in leaves if leaf not in BLOBS]
        self._writer = pq.ParquetWriter(
            file,
            schema,
            compression={leaf: "zstd" if leaf in small else "none" for leaf in leaves},
            use_dictionary=False,
            write_statistics=small,
        )

    def add(self, rows: list[Row], content: int) -> None:
        """Write rows, of so many bytes of content, as one row group."""
        self._writer.write_batch(batch(self._writer.schema, rows))
        self.rows += len(rows)
        self.content += content

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the names of Parquet's columns, which are the leaves of Arrow's."""
    import pyarrow.parquet as pq

    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    columns = pq.ParquetFile(empty).schema
    return [columns.column(number).path for number in range(len(columns))]
