"""1,000 trials of a training that returns at once: what all those trials cost the search."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from measuring import MIB
from search_runs import SearchRun, all_finished, run_search, seconds_each

from heliostat.training.storage import read_json

SOME = 100
TABLES = ("runs", "metrics", "params", "tags")


@dataclass
class Memory:
    """Samples of a search's driver, taken while it runs."""

    home: Path
    samples: list[tuple[int, float]] = field(default_factory=list)
    """(trials told of, PSS in MiB) of each."""

    def __enter__(self) -> Memory:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def at(self, trials: int) -> float:
        """Return the PSS of the first sample with so many trials, or else of the last one."""
        later = (pss for told, pss in self.samples if told >= trials)
        return next(later, self.samples[-1][1])

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            for job in self.home.glob("jobs/*"):
                self._sample(job)

    def _sample(self, job: Path) -> None:
        driver, ledger = read_json(job / "driver.json"), job / "ledger.jsonl"
        if driver is None or not ledger.exists():
            return
        told = ledger.read_bytes().count(b'"kind": "told"')
        try:
            pss = psutil.Process(driver["pid"]).memory_full_info().pss
        except psutil.NoSuchProcess:
            return
        self.samples.append((told, pss / MIB))


def measure_thousand(work: Path, trials: int) -> Any:
    """Run the search, print the table and return the numbers."""
    with Memory(work / "home") as memory:
        run = run_search("search_at_once.yaml", {"trials": trials}, work)
    all_finished(run, trials)
    some = min(SOME, trials // 2)
    ends = [record["time"] / 1000 for record in run.of("told")]
    rows = rows_of(run)
    facts = {
        "trials/s": f"{1 / seconds_each(ends):.2f}",
        "to the first trial's end, s": f"{ends[0] - run.began:.1f}",
        "after the last trial's end, s": f"{run.began + run.seconds - ends[-1]:.1f}",
        f"each of the first {some}, s": f"{seconds_each(ends[: some + 1]):.3f}",
        f"each of the last {some}, s (wanted: no more)": f"{seconds_each(ends[-some - 1 :]):.3f}",
        f"the driver's memory at {some} trials, MiB": f"{memory.at(some):.0f}",
        f"the driver's memory at {trials} trials, MiB": f"{memory.at(trials):.0f}",
        "MLflow's rows": ", ".join(f"{count:,} {table}" for table, count in rows.items()),
    }
    print(f"**{trials:,} trials that return at once**\n\n| measure | |\n|---|---|")
    print("".join(f"| {name} | {value} |\n" for name, value in facts.items()), flush=True)
    return {"facts": facts, "ends": ends, "rows": rows, "memory": memory.samples}


def rows_of(run: SearchRun) -> dict[str, int]:
    """Return how many rows MLflow's database has, by table."""
    with closing(sqlite3.connect(run.home / "mlflow.db")) as database:
        counts = {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in TABLES
        }
    if counts["runs"] != len(run.of("suggested")) + 1:
        raise RuntimeError(f"MLflow holds {counts['runs']} runs")
    return counts
