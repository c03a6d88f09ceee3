"""`helio data check` and `helio data show`: what a source holds, before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliostat.cli.answer import answering
from heliostat.cli.data import named
from heliostat.cli.display import Show, watching
from heliostat.cli.options import AsJson
from heliostat.cli.wording import table
from heliostat.runtime.events import Phase, Progress

if TYPE_CHECKING:
    from heliostat.data.checking import Report
    from heliostat.data.records import Listing

_Uri = Annotated[
    str, typer.Argument(metavar="URI", help="An imported data set, or a source in any format.")
]
_Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="The source's format, where it is not clear."),
]
_SHOWN_CLASSES = 40


def check_data(
    uri: _Uri,
    format: _Format = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="This one only; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Look at every sample for what breaks training or misleads about its result.

    Exit status 1: something was found that does.
    """
    with answering(as_json) as answer:
        with named(), watching(sys.stderr) as show:
            from heliostat.data.checking import check
            from heliostat.data.listing_of_dataset import listing_of
            from heliostat.data.splits import choose

            listing = listing_of(uri, format)
            if split is not None:
                name = choose(split, listing.splits)
                listing = replace(listing, splits={name: listing.splits[name]})
            report = check(listing, progress=_progress(show))
        document = _document(uri, listing, report)
        answer(document, _lines(document))
    return 1 if report.breaks else 0


def show_data(
    uri: _Uri,
    format: _Format = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Of this one; default: the first.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, max=240, help="How many samples.")
    ] = 24,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Another one shows other samples.")
    ] = 0,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Where the picture goes.")
    ] = Path("sheet.png"),
    as_json: AsJson = False,
) -> None:
    """Draw some samples, with boxes, outlines, masks and labels, as a PNG file."""
    with answering(as_json) as answer:
        with named():
            from heliostat.data.contact_sheet import contact_sheet
            from heliostat.data.listing_of_dataset import listing_of

            listing = listing_of(uri, format)
            split = split or next(iter(listing.splits), "all")
            sheet = contact_sheet(listing, split, count=count, seed=seed)
            _save(sheet, out)
        samples = len(listing.splits[split])
        document = {
            "uri": uri,
            "format": listing.format,
            "kind": listing.kind,
            "split": split,
            "samples": samples,
            "shown": min(count, samples),
            "path": str(out),
        }
        answer(document, [f"{out}: {document['shown']} of {samples:,} samples of {split}"])


def _progress(show: Show) -> Callable[[str, int, int], None]:
    def show_done(split: str, done: int, total: int) -> None:
        show(Phase(f"looking at {split}"))
        show(Progress(done, total))

    return show_done


def _document(uri: str, listing: Listing, report: Report) -> dict[str, Any]:
    return {
        "uri": uri,
        "format": listing.format,
        "kind": listing.kind,
        "samples": dict(report.samples),
        "classes": {split: dict(counts) for split, counts in report.classes.items()},
        "findings": [asdict(finding) for finding in report.findings],
        "counts": report.counts,
    }


def _lines(document: dict[str, Any]) -> Iterator[str]:
    if document["findings"]:
        yield from table(document["findings"], ("kind", "split", "sample", "message"), empty="")
        yield ""
    yield from _balance(document["classes"])
    samples = ", ".join(f"{name} {count:,}" for name, count in document["samples"].items())
    found = ", ".join(f"{count:,} {kind}" for kind, count in document["counts"].items())
    yield f"{samples} samples: {found or 'nothing is wrong'}"


def _balance(classes: dict[str, dict[str, int]]) -> Iterator[str]:
    """Yield a table with a line a class and a column a split."""
    names = list(next(iter(classes.values()), ()))
    if not names:
        return
    rows = [{"class": name} | {s: counts[name] for s, counts in classes.items()} for name in names]
    yield from table(rows[:_SHOWN_CLASSES], ("class", *classes), empty="")
    if len(rows) > _SHOWN_CLASSES:
        yield f"… and {len(rows) - _SHOWN_CLASSES:,} classes more: see --json"
    yield ""


def _save(sheet: Any, out: Path) -> None:
    """Write the picture; InputError where that cannot be done."""
    from heliostat.spec.problems import InputError

    try:
        sheet.save(out, "PNG")
    except OSError as error:
        raise InputError.of(f"{out} cannot be written: {error.strerror or error}") from error
