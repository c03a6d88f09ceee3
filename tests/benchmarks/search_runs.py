"""A search by `helio run`, and what its ledger says of the time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from measuring import BIN, HERE, read_lines, run_command

Record = dict[str, Any]


@dataclass(frozen=True)
class SearchRun:
    """A search that came to its end."""

    home: Path
    """Its HELIO_HOME, which was fresh."""
    folder: Path
    """The job's."""
    seconds: float
    """From the command to its end."""
    began: float
    """Of the command, unix seconds."""
    records: Sequence[Record]
    """The ledger."""

    def of(self, kind: str) -> list[Record]:
        """Return the ledger's records of a kind, in order."""
        return [record for record in self.records if record["kind"] == kind]


def run_search(spec: str, settings: Mapping[str, Any], folder: Path) -> SearchRun:
    """Run the search of a spec beside this file, with settings, under a fresh HELIO_HOME."""
    home = folder / "home"
    began = time.time()
    output = run_command([*command(spec, settings), "--json"], folder, {"HELIO_HOME": str(home)})
    seconds = time.time() - began
    job = home / "jobs" / json.loads(output)["job"]
    return SearchRun(home, job, seconds, began, read_lines([job / "ledger.jsonl"]))


def command(spec: str, settings: Mapping[str, Any]) -> list[str]:
    """Return `helio run` of a spec beside this file."""
    words = [str(BIN / "helio"), "run", str(HERE / spec)]
    for key, value in settings.items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return words


def all_finished(run: SearchRun, trials: int) -> None:
    """Raise RuntimeError unless each of the trials was trained to its end."""
    ended = [record["status"] for record in run.of("ended")]
    if ended != ["FINISHED"] * trials:
        raise RuntimeError(f"{trials} FINISHED trials were wanted, not {ended}")


def seconds_each(ends: Sequence[float]) -> float:
    """Return the mean time from one end to the next; `ends` are unix seconds, in order.

    What comes before the first end, the start of everything, is left out.
    """
    return mean(later - earlier for earlier, later in pairwise(ends))
