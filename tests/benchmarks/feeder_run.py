"""One run of one feeder in a process of its own: `python feeder_run.py PART FEEDER SOURCE WORK`.

Prints one line of JSON. Times begin after the imports and after the data is in the feeder's form.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from feeder_data import PARTS, make

LATER_EPOCHS = 2


def main() -> None:
    """Measure and print."""
    part, feeder, source, work = PARTS[sys.argv[1]], *sys.argv[2:]
    warnings.simplefilter("ignore")
    os.environ["FEEDERS_WORK"] = work
    folder = make(part.name, Path(source), Path(work))
    if feeder.startswith("heliostat"):
        from feeder_ours import Ours, uri

        home, images = Path(work) / f"home-{os.getpid()}", uri(feeder, folder)
        start: Any = lambda: Ours(part, feeder, images, home).epoch  # noqa: E731
        start()  # as with the peers below: what it imports is not measured
    else:
        from feeder_peers import PEERS

        PEERS[feeder](part, folder)  # writes its form of the data, and imports what it needs
        start = lambda: PEERS[feeder](part, folder)  # noqa: E731
    began = time.perf_counter()
    batches = start()
    epochs = [timed(batches(number)) for number in range(1 + LATER_EPOCHS)]
    later = epochs[1:]
    result = {
        "first_batch_seconds": epochs[0].began_at - began,
        "first_epoch": epochs[0].rate,
        "later_epochs": sum(epoch.rate for epoch in later) / len(later),
        "mean": epochs[0].mean,
        "images": epochs[0].images,
    }
    print(json.dumps(result), flush=True)
    os._exit(0)  # what a feeder leaves running is not waited for


class Epoch:
    """An epoch as it was measured."""

    def __init__(self, began_at: float, images: int, rate: float, mean: float) -> None:
        self.began_at = began_at
        """When the first batch was there."""
        self.images = images
        self.rate = rate
        """Images a second after the first batch."""
        self.mean = mean
        """Of the normalised pixels of every eighth image."""


def timed(batches: Iterable[Any]) -> Epoch:
    """Go through an epoch."""
    began_at, first, images, means = 0.0, 0, 0, []
    for number, (inputs, _) in enumerate(batches):
        if number == 0:
            began_at, first = time.perf_counter(), len(inputs)
        images += len(inputs)
        means.append(float(inputs[::8].mean()))
    seconds = time.perf_counter() - began_at
    return Epoch(began_at, images, (images - first) / seconds, sum(means) / len(means))


if __name__ == "__main__":
    main()
