"""`helio data`: sources become data sets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliostat.cli.answer import answering
from heliostat.cli.display import Show, watching
from heliostat.cli.options import AsJson
from heliostat.cli.services import Services
from heliostat.cli.wording import duration, table
from heliostat.runtime.events import Phase, Progress

if TYPE_CHECKING:
    from heliostat.data.manifest import Manifest

data_app = typer.Typer(
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@data_app.callback(invoke_without_command=True)
def _data(context: typer.Context) -> None:
    """Import data sets, and look at them."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@data_app.command("import")
def import_data(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A file or folder in a format of the field.")
    ],
    dest: Annotated[
        str, typer.Argument(metavar="DEST", help="A new folder: a path, or s3://bucket/prefix.")
    ],
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="SRC's format, where it is not clear."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of a data set that is in DEST.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write SRC's samples to DEST as Parquet shards with a manifest."""
    services: Services = context.obj
    started = time.monotonic()
    with answering(as_json) as answer:
        with named(), watching(sys.stderr) as show:
            progress = _progress(show, started)
            manifest = services.import_data(
                Path(source), dest, format=format, replace=replace, show=progress
            )
        document = _document(dest, manifest, time.monotonic() - started)
        answer(document, _lines(document))


@contextmanager
def named() -> Iterator[None]:
    """Leave the keys out of InputErrors: there is no spec whose `uri` they could mean."""
    from heliostat.spec.problems import InputError

    try:
        yield
    except InputError as error:
        raise InputError([changed(problem, key=()) for problem in error.problems]) from error


def _progress(show: Show, started: float) -> Callable[[int, int], None]:
    show(Phase("importing"))

    def show_done(done: int, total: int) -> None:
        rate = done / max(time.monotonic() - started, 1e-9)
        left = (total - done) / rate
        show(Progress(done, total, images_per_second=rate, seconds_left=left))

    return show_done


def _document(dest: str, manifest: Manifest, seconds: float) -> dict[str, Any]:
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    return {
        "dataset": dest,
        "format": manifest.format,
        "kind": manifest.kind,
        "classes": list(manifest.classes),
        "splits": {name: split.samples for name, split in manifest.splits.items()},
        "shards": len(shards),
        "bytes": sum(shard.bytes for shard in shards),
        "fingerprint": manifest.fingerprint,
        "seconds": seconds,
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    rows = [{"split": name, "samples": n} for name, n in document["splits"].items()]
    yield from table(rows, ("split", "samples"), empty="")
    yield f"{document['format']}: {document['kind']}, {len(document['classes'])} classes"
    took = duration(document["seconds"])
    yield f"{document['shards']} shards, {document['bytes']:,} bytes, written in {took}"
    yield f"fingerprint {document['fingerprint']}"
    yield f"{document['dataset']} is ready"
