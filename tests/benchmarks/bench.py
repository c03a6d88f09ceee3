"""`make bench`: heliostat and the torchrun script, side by side in one run, in interleaved pairs.

    python bench.py [--pairs 7] [--only cnn_small resnet18 commands accuracy] [--keep FOLDER]

The Markdown goes to stdout, every single number to `benchmark-results/<time>.json`. Each run
starts cold: a fresh HELIO_HOME or MLflow database, no Ray that runs already.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from make_cifar_like import write_cifar_like
from measuring import BIN, Measurement, Workload, run_command, run_heliostat, run_torchrun
from pairs import ROOT, SHARED, Side, measure_pairs, measure_parts
from table import Row, spread

DATA = SHARED / "fashion-mnist"
PARTS = ("cnn_small", "resnet18", "commands", "accuracy")
SIDES: dict[str, Side] = {"heliostat": run_heliostat, "torchrun": run_torchrun}


def main() -> None:
    """Measure what was asked for and print it."""
    measure_parts(__doc__, PARTS, measure, needed=DATA)


def measure(part: str, work: Path, pairs: int) -> Any:
    """Measure one part, print its table, and return its numbers."""
    match part:
        case "commands":
            return measure_commands(work, pairs)
        case "accuracy":
            return measure_accuracy(work)
        case "cnn_small":
            workload = Workload(part, DATA, batch=256, steps=200, warm_up=60)
        case _:
            images = write_cifar_like(DATA, work)
            workload = Workload(part, images, batch=64, steps=240, warm_up=80)
    return measure_pairs(workload, work, pairs, SIDES, rows)


def rows(ours: Sequence[Measurement], theirs: Sequence[Measurement]) -> list[Row]:
    """Return the table's rows, with what the project wants of each."""

    def row(name: str, of: Callable[[Measurement], float], wanted: str, **kind: bool) -> Row:
        return Row(name, [of(m) for m in ours], [of(m) for m in theirs], wanted, **kind)

    return [
        row("images/s, steady", lambda m: m.images_per_second, "≥ 0.97"),
        row("command to first step, s", lambda m: m.first_step_seconds, "≤ 2.5, goal 1.5"),
        row("memory of rank 0, MiB", lambda m: m.pss_mib[0], "≤ +160", difference=True),
        row("memory of rank 1, MiB", lambda m: m.pss_mib[1], "≤ +160", difference=True),
        row("command to its end (ours exports the model), s", lambda m: m.total_seconds, ""),
    ]


def measure_commands(work: Path, times: int) -> dict[str, list[float]]:
    """Time `helio --help` and `helio check` of a spec whose text is wrong."""
    work.mkdir(parents=True, exist_ok=True)
    wrong = work / "wrong.yaml"
    wrong.write_text("kind: train\nname: wrong\nmodle: {name: cnn_small}\n")
    commands = {"helio --help": (["--help"], 0.5), "helio check": (["check", str(wrong)], 1.0)}
    results: dict[str, list[float]] = {}
    print("| command | seconds: median (min–max) | wanted |\n|---|---|---|")
    for name, (arguments, limit) in commands.items():
        results[name] = [timed([str(BIN / "helio"), *arguments], work) for _ in range(times)]
        print(f"| `{name}` | {spread(results[name], 2)} | < {limit} |")
    print()
    return results


def timed(command: list[str], work: Path) -> float:
    """Return the seconds that a command takes; its exit status may be 0 or 2."""
    began = time.perf_counter()
    run_command(command, work, {"HELIO_HOME": str(work / "home")}, allowed=(0, 2))
    return time.perf_counter() - began


def measure_accuracy(work: Path) -> dict[str, Any]:
    """Train the shipped Fashion-MNIST spec to its end, on two workers."""
    command = [str(BIN / "helio"), "run", str(ROOT / "jobs/fashion_mnist/train.yaml"), "--json"]
    for split in ("train", "val", "test"):
        command += ["--set", f"data.{split}.uri={DATA}"]
    outcome = json.loads(run_command(command, work, {"HELIO_HOME": str(work / "home")}))
    accuracy, seconds = outcome["metrics"]["test/accuracy"], outcome["seconds"]
    print(f"Fashion-MNIST, shipped spec: test accuracy {accuracy:.2%} (wanted: 92.5 %), "
          f"{seconds:.0f} s\n")  # fmt: skip
    return {"accuracy": accuracy, "seconds": seconds}


if __name__ == "__main__":
    main()
