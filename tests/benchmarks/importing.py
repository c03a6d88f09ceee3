"""Importing 60,000 small files beside `cp -r` of the same: a Markdown table.

    python tests/benchmarks/importing.py FASHION_MNIST_FOLDER [--pairs 3]

The target is half of cp's speed. Both write to the same disk, in turns; the page cache is as the
writing of the files left it, and is the same for both.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from heliostat.data import open_source
from heliostat.spec.sources import Source


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("fashion_mnist", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="helio-importing-") as folder:
        root = Path(folder)
        count = make_files(options.fashion_mnist, root / "files")
        pairs = [pair(root) for _ in range(options.pairs)]
    print(f"{count:,} PNG files of 28×28 in 10 folders; {os.cpu_count()} CPUs\n")
    print("| | seconds: median (each) | files/s |")
    print("|---|---|---|")
    for name, seconds in zip(
        ("`cp -r`", "`helio data import`, whole command", "… without its start"),
        zip(*pairs, strict=True),
        strict=True,
    ):
        each = ", ".join(f"{one:.2f}" for one in seconds)
        median = statistics.median(seconds)
        print(f"| {name} | {median:.2f} ({each}) | {count / median:,.0f} |")
    ratio = statistics.median(cp / command for cp, command, _ in pairs)
    print(f"\nThe command's speed is {ratio:.2f} times cp's (median of pairs).")


def make_files(source: Path, folder: Path) -> int:
    """Write Fashion-MNIST's training images as PNG files in class folders."""
    samples = open_source(Source(uri=str(source), split="train"))
    assert samples.labels is not None
    for name in samples.classes:
        (folder / name).mkdir(parents=True)
    for start in range(0, len(samples), 1000):
        indices = samples.labels[start : start + 1000] * 0
        indices += range(start, start + len(indices))
        inputs, labels = samples.read(indices)
        for index, image, label in zip(indices, inputs.numpy(), labels.tolist(), strict=True):
            content = io.BytesIO()
            Image.fromarray(image[0]).save(content, "PNG")
            path = folder / samples.classes[label] / f"{index:05}.png"
            path.write_bytes(content.getvalue())
    return len(samples)


def pair(root: Path) -> tuple[float, float, float]:
    """Return the seconds of cp, of the command, and of the import inside of it."""
    copied = timed(["cp", "-r", str(root / "files"), str(root / "copy")])[0]
    shutil.rmtree(root / "copy")
    command = [sys.executable, "-m", "heliostat.cli", "data", "import", "--json"]
    whole, answer = timed([*command, str(root / "files"), str(root / "set")])
    shutil.rmtree(root / "set")
    return copied, whole, json.loads(answer)["seconds"]


def timed(command: list[str]) -> tuple[float, str]:
    os.sync()
    started = time.monotonic()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.monotonic() - started, done.stdout


if __name__ == "__main__":
    main()
