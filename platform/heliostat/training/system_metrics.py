"""What a worker takes of its machine, sampled beside training under MLflow's names."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import torch

from heliostat.training.context import Context
from heliostat.training.fence import Superseded
from heliostat.training.storage import read_json
from heliostat.training.storage_away import StorageAway

SECONDS = 10.0


@contextmanager
def sampling(context: Context) -> Iterator[None]:
    """Record this worker's processor, memory and GPU every ten seconds, and at the end."""
    stop = threading.Event()
    thread = threading.Thread(
        target=_sample_quietly, args=(stop, context), name="system-metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _sample_quietly(stop: threading.Event, context: Context) -> None:
    # The loop meets the same, and it is what has to end.
    with suppress(StorageAway, Superseded):
        _sample_until(stop, context)


def _sample_until(stop: threading.Event, context: Context) -> None:
    process = psutil.Process()
    process.cpu_percent()
    began = _job_began(context)
    last = None
    while True:
        stopped = stop.wait(SECONDS)
        values = _sample(process, context)
        # The step of a system metric is the job's age in seconds: it grows over attempts too.
        step = int(time.time() - began)
        if step != last:  # the end may come within a second of a sample
            context.reporter.metrics(values, step=step, reproducible=False)
        last = step
        if stopped:
            return


def _sample(process: psutil.Process, context: Context) -> dict[str, float]:
    memory = process.memory_full_info()
    values = {
        "cpu_utilization_percentage": process.cpu_percent(),
        "process_memory_rss_megabytes": memory.rss / 1e6,
        "process_memory_pss_megabytes": getattr(memory, "pss", memory.uss) / 1e6,
        "system_memory_usage_percentage": psutil.virtual_memory().percent,
    }
    if context.device.type == "cuda":
        values["gpu_memory_usage_megabytes"] = torch.cuda.memory_reserved(context.device) / 1e6
        values["gpu_utilization_percentage"] = float(torch.cuda.utilization(context.device))
    return {f"system/rank_{context.rank}/{name}": value for name, value in values.items()}


def _job_began(context: Context) -> float:
    """Return when the job began, in unix seconds, which its folder's `job.json` says."""
    facts = read_json(context.folder / "job.json")
    return facts["created"] if facts else psutil.Process().create_time()
