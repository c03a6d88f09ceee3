"""The driver's part in finding a hang: it hears every rank, and ends an attempt that stands still.

A rank says in the journal that it stands still. The attempt is over once no rank is left that gets
on: each stands still, has ended, or has said nothing for so long that it is stopped or frozen.
A rank that is at work, on a checkpoint for example, and that the others wait for, keeps it alive.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from heliostat.runtime.job import Job
from heliostat.training.journal import JournalReader, Record
from heliostat.training.stalling import StalledError, describe

SILENT_SECONDS = 20.0
"""Four times what is between two words of a rank."""
SILENT_MIRRORED_SECONDS = 90.0
"""The same where the ranks' words come by way of the job's storage."""

_LOOK_SECONDS = 1.0
_ENDING_SECONDS = 5.0


class StallWatch:
    """Follows one attempt's journal; `check` is cheap enough for 10 Hz."""

    def __init__(
        self,
        job: Job,
        attempt: int,
        *,
        mirrored: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to hear the attempt's ranks; `mirrored`: by way of the job's storage."""
        self._reader = JournalReader(job.folder / "journal")
        self._attempt = attempt
        self._silent_seconds = SILENT_MIRRORED_SECONDS if mirrored else SILENT_SECONDS
        self._clock = clock
        self._due = 0.0
        self._world = 0
        self._heard: dict[int, float] = {}
        self._stalled: dict[int, Record] = {}
        self._over: set[int] = set()
        self.places: dict[int, Record] = {}
        """Where the ranks' processes are, as far as they said: host, node, pid."""

    def check(self) -> None:
        """Raise StalledError, which names where each rank stands, once no rank gets on."""
        now = self._clock()
        if now < self._due:
            return
        self._due = now + _LOOK_SECONDS
        for record in self._reader.new_records():
            if record["attempt"] == self._attempt and record["rank"] is not None:
                self._hear(record, now)
        if self._stalled and all(self._stands(rank, now) for rank in self._ranks()):
            raise StalledError(self._message())

    def _hear(self, record: Record, now: float) -> None:
        rank = record["rank"]
        self._heard[rank] = now
        if record["kind"] != "event":
            return
        self._world = max(self._world, record.get("world_size", 0))
        match record["name"]:
            case "placed":
                self.places[rank] = record
            case "stalled":
                self._stalled[rank] = record
            case "goodput":
                if rank in self._stalled and record["moves"] != self._stalled[rank]["moves"]:
                    del self._stalled[rank]
                if record["final"]:
                    self._over.add(rank)

    def _ranks(self) -> set[int]:
        return set(range(self._world)) | self._heard.keys()

    def _stands(self, rank: int, now: float) -> bool:
        said_nothing_for = now - self._heard.get(rank, now)
        return (
            rank in self._stalled or rank in self._over or said_nothing_for > self._silent_seconds
        )

    def _message(self) -> str:
        stalled = [self._stalled[rank] for rank in sorted(self._stalled)]
        silent = sorted(self._ranks() - self._stalled.keys() - self._over)
        parts = [describe(record) for record in stalled]
        if all(record["state"] == "waited_for_data" for record in stalled) and not silent:
            parts.insert(0, "all ranks wait for data")
        parts += [
            f"rank {rank} says nothing: it is stopped, or its machine is frozen" for rank in silent
        ]
        return f"no progress for {stalled[0]['limit']}: " + "; ".join(parts)


def end_processes(places: dict[int, Record]) -> None:
    """Return when no process of the ranks is left: a stopped one does not end by itself."""
    here = [p for p in places.values() if p["host"] == platform.node()]
    away = [p for p in places.values() if p["host"] != platform.node()]
    remote = [_on_node(place["node"]).remote(place["pid"], place["time"]) for place in away]
    for place in here:
        end_process(place["pid"], place["time"])
    if remote:
        import ray

        ray.wait(remote, num_returns=len(remote), timeout=60)


def end_process(pid: int, alive_at: int) -> None:
    """Kill the process that had this number at a time (unix ms), unless it ends in a moment."""
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        process = psutil.Process(pid)
        if process.create_time() * 1000 > alive_at:
            return  # another one has the number by now
        if process.status() != psutil.STATUS_STOPPED:
            with suppress(psutil.TimeoutExpired):
                process.wait(_ENDING_SECONDS)
        children = process.children(recursive=True)
        for each in (process, *children):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(_ENDING_SECONDS)


def _on_node(node: str) -> Any:
    """Return `end_process` as a task for one node of the cluster."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    where = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(end_process).options(num_cpus=0, scheduling_strategy=where)
