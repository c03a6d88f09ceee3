"""`on_error: skip`: samples that cannot be read are found, and left out, before any order is made.

So which samples there are is a function of the content: the order of the others does not depend
on when, or on which worker, a broken one would have been met.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import numpy as np

from heliostat.data.annotated import Annotated
from heliostat.data.fingerprint import fingerprint
from heliostat.data.images import EncodedImages
from heliostat.data.node import node_folder
from heliostat.data.paths import one_line
from heliostat.data.stores import unusable
from heliostat.spec.problems import InputError

Decodable = EncodedImages | Annotated
Broken = list[tuple[int, str]]


def readable(samples: Decodable) -> Decodable:
    """Return the samples without those that cannot be decoded, which `skipped` then lists.

    All are decoded once, by the first process of a node that asks; what was found is kept beside
    the shards' cache, under the samples' fingerprint. Raises InputError where none is left.
    """
    found = _remembered(samples)
    if not found:
        return samples
    if len(found) == len(samples):
        raise InputError.of(
            f"none of {len(samples)} samples can be read; {samples.source(0)}: {found[0][1]}",
            key=("uri",),
        )
    left = np.delete(np.arange(len(samples)), [index for index, _ in found])
    rest = samples.take(left)
    rest.skipped = tuple((samples.source(index), reason) for index, reason in found)
    return rest


_AT_ONCE = 64


def _remembered(samples: Decodable) -> Broken:
    name = fingerprint(["readable", samples.fingerprint, samples.shape], None, ())
    path = node_folder("cache/readable") / f"{name}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _write(path, _broken(samples))
    except OSError as error:
        raise unusable(str(path.parent), error) from error
    return [(index, reason) for index, reason in json.loads(path.read_bytes())]


def _broken(samples: Decodable) -> Broken:
    found = []
    for start in range(0, len(samples), _AT_ONCE):
        indices = np.arange(start, min(start + _AT_ONCE, len(samples)))
        for index, result in zip(indices.tolist(), samples.read_each(indices), strict=True):
            if isinstance(result, Exception):
                found.append((index, _reason(samples.source(index), result)))
    return found


def _reason(source: str, error: Exception) -> str:
    # What has a key is no matter of one sample: a shard that cannot be fetched, a full disk.
    if isinstance(error, MemoryError) or (
        isinstance(error, InputError) and any(problem.key for problem in error.problems)
    ):
        raise error
    text = str(error) if isinstance(error, InputError) else one_line(error)
    return text.removeprefix(source).lstrip(": ") or type(error).__name__


def _write(path: Path, found: Broken) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found))
    os.replace(part, path)
