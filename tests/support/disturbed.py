"""A job that is disturbed, and the proof that nothing of it was lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
from mlflow import MlflowClient

from heliostat.training.journal import events, read_all
from heliostat.training.storage import read_json, sha256
from warm import Command

JOB = Path(__file__).resolve().parents[1] / "chaos" / "job" / "train.yaml"
STEPS = 180
"""Optimizer steps of that job, whose loss is recorded at every one."""

MANIFEST = "write:*/checkpoints/step-*/*manifest.json*"
"""Where a process stands with a checkpoint's files written, and its manifest not."""


class Commands(Protocol):
    """Who starts commands of `helio` over a HELIO_HOME: a warm process, or cold ones."""

    def start(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Command: ...


@dataclass(frozen=True)
class Fired:
    """A fault that took place."""

    at: float
    """unix seconds"""
    step: int
    """The last step that the journal had."""


@dataclass
class Outcome:
    """What a fault has cost."""

    lost_steps: int
    """Steps that were trained a second time."""
    seconds: float
    """From the fault to the next optimizer step that was new, else to the end of the job."""
    to: str
    """step | end: which of these"""


@dataclass
class Reference:
    """What the job leaves if nobody disturbs it."""

    weights: str
    """SHA-256 of the final weights' file"""
    metrics: dict[str, float]
    values: dict[tuple[str, int], float]
    seconds: float
    """From the command to its end."""


@dataclass
class Disturbed:
    """One job, from its first command to its last."""

    commands: Commands
    home: Path
    command: Command
    args: tuple[str, ...]
    env: Mapping[str, str]
    known: frozenset[Path]
    database: Path
    """MLflow's own"""
    clock: Callable[[], float] = time.time
    """The clock of the job's processes, unix seconds"""
    fired: list[Fired] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        commands: Commands,
        home: Path,
        *args: str,
        env: Mapping[str, str] | None = None,
        database: Path | None = None,
    ) -> Disturbed:
        """Start the job; what goes on with it gets the same `env`."""
        known = frozenset(path.parent for path in home.glob("jobs/*/job.json"))
        given, env = ("run", str(JOB), "--json", *args), env or {}
        command = commands.start(*given, env=env)
        return cls(commands, home, command, given, env, known, database or home / "mlflow.db")

    # ---- looking at it --------------------------------------------------------------

    @property
    def folder(self) -> Path | None:
        """The job's folder; None while there is none."""
        made = [path for path in (self.home / "jobs").glob("*") if path not in self.known]
        begun = [path for path in made if (path / "job.json").exists()]
        return begun[0] if begun else None

    @property
    def id(self) -> str:
        assert self.folder, f"the job was not made:\n{self.command.err}"
        return self.folder.name

    @property
    def step(self) -> int:
        """The last step that was trained."""
        records = read_all(self.folder / "journal") if self.folder else []
        return max((r["step"] for r in records if r.get("name") == "train/loss"), default=0)

    @property
    def ended(self) -> dict[str, Any] | None:
        return read_json(self.folder / "ended.json") if self.folder else None

    @property
    def recorded(self) -> dict[str, Any]:
        return (read_json(self.folder / "recorded.json") if self.folder else None) or {}

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 240.0) -> Any:
        """Return what `condition` gives once it is true, while the command lives."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            status = self.command.poll()
            assert status is None, f"ended ({status}) before {what}:\n{self.command.err}"
            assert time.monotonic() < until, f"{what}: not in time:\n{self.command.err}"
            time.sleep(0.01)
        return found

    def wait_for_step(self, step: int) -> None:
        self.wait(lambda: self.step >= step, f"step {step}")

    def wait_for_stand(self, file: Path) -> int:
        """Return the process that stands still and said so in `file`."""
        self.wait(file.exists, f"anybody stands still ({file.name})")
        return int(file.read_text())

    # ---- disturbing it --------------------------------------------------------------

    def fire(self) -> None:
        """Write down that a fault takes place now."""
        self.fired.append(Fired(self.clock(), self.step))

    def kill(self, *also: int) -> bool:
        """Kill the command, and other processes with it; say whether it lived until then."""
        self.fire()
        if also:
            kill(*also)
        if self.command.poll() is None:
            kill(self.command.pid)
        if self.command.wait() == -signal.SIGKILL:
            return True
        self.fired.pop()
        return False

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the job: what it started, and what outlived their parents."""
        pids = {p.pid: p for p in _of_home(self.home)} | {p.pid: p for p in self._descendants()}
        return [process for process in pids.values() if process.pid != self._warm]

    @property
    def _warm(self) -> int:
        return int(getattr(self.commands, "pid", 0))

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.command.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    # ---- going on with it -----------------------------------------------------------

    def go_on(self) -> Command:
        """Type what a person would: the same command again, or `resume`, or `sync`."""
        if self.folder is None:  # it was killed before it was a job
            self.command = self._type(*self.args)
        elif (self.ended or {}).get("status") == "FINISHED" and not self._is_superseded():
            self.wait_for_silence()
            if not self.recorded.get("complete"):
                self.command = self._type("sync", self.id)
        else:
            self.command = self._type("resume", self.id, "--json")
        return self.command

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        ended = (self.ended or {}).get("status") == "FINISHED" and not self._is_superseded()
        return ended and bool(self.recorded.get("complete"))

    def go_on_to_the_end(self) -> None:
        """Type what a person would until nothing is left to do."""
        while not self.done:
            assert self.go_on().wait() == 0, self.command.err

    def _type(self, *args: str) -> Command:
        return self.commands.start(*args, env=self.env)

    def _is_superseded(self) -> bool:
        assert self.folder
        driver = (read_json(self.folder / "driver.json") or {}).get("pid")
        return (self.ended or {}).get("driver") not in (None, driver)

    def wait_for_silence(self, seconds: float = 120.0) -> None:
        """Return when no process is left."""
        until = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < until, f"left behind: {[_line(p) for p in left]}"
            time.sleep(0.1)

    # ---- what it has come to --------------------------------------------------------

    def assert_nothing_lost(self, reference: Reference) -> list[Outcome]:
        """Assert that the job is what it would have been; return what each fault has cost."""
        folder = self.folder
        assert folder
        self.wait_for_silence()
        assert (self.ended or {}).get("status") == "FINISHED", self.ended
        assert sha256(folder / "model" / "weights.safetensors") == reference.weights
        assert read_json(folder / "result.json")["metrics"] == reference.metrics
        assert values_of(folder) == reference.values
        assert {e["largest_difference"] for e in self.events("repeated")} <= {0}
        assert left_behind(folder) == []
        self.assert_recorded()
        return [self._outcome(fault) for fault in self.fired]

    def assert_recorded(self) -> None:
        """Assert that MLflow has one run of the job, every row once, and one version."""
        assert self.recorded.get("complete"), self.recorded
        client = MlflowClient(f"sqlite:///{self.database}")
        ids = [each.experiment_id for each in client.search_experiments()]
        (run,) = client.search_runs(ids, f"tags.`heliostat.job` = '{self.id}'")
        assert run.info.status == "FINISHED"
        assert "heliostat.ended_because" not in run.data.tags
        assert run.data.tags["heliostat.attempts"] == str(len(self.attempts))
        known = rows_of(self.database, run.info.run_id)
        # How the job's seconds were spent is told of each of its ends; the rest is the journal's.
        rows = [row for row in known if not row[0].startswith("goodput/")]
        told = [row[:2] for row in known if row not in rows]
        assert ("goodput/worker_seconds", max(self.attempts)) in told
        assert len(told) == len(set(told))
        assert self.folder
        written = [r for r in read_all(self.folder / "journal") if r["kind"] == "metric"]
        places = [(name, step) for name, step, _ in rows]
        assert len(places) == len(set(places)), sorted(p for p in places if places.count(p) > 1)
        # Goodput is a sum over the journal, which MLflow alone is told.
        sent = [row for row in rows if not row[0].startswith("goodput/")]
        assert sent == sorted((r["name"], r["step"], r["value"]) for r in written)
        (version,) = client.search_model_versions(f"run_id='{run.info.run_id}'")
        assert self.recorded["model"] == f"models:/{version.name}/{version.version}"
        models = client.search_logged_models(ids, f"source_run_id = '{run.info.run_id}'")
        assert [model.status for model in models] == ["READY"]

    @property
    def attempts(self) -> set[int]:
        """The attempts of which the journal says that they began."""
        begun = [*self.events("attempt_launched"), *self.events("attempt_started")]
        return {event["attempt"] for event in begun}

    def events(self, name: str) -> list[dict[str, Any]]:
        assert self.folder
        return events(read_all(self.folder / "journal"), name)

    def _outcome(self, fault: Fired) -> Outcome:
        assert self.folder
        after = fault.at * 1000
        records = read_all(self.folder / "journal")
        later = [r for r in events(records, "attempt_started") if r["time"] > after]
        restored = [r for r in events(records, "restored") if r["time"] > after]
        attempt = later[0]["attempt"] if later else None
        from_step = next((r["step"] for r in restored if r["attempt"] == attempt), 0)
        lost = 0 if attempt is None else max(0, fault.step - from_step)
        new = [r["time"] for r in records if r.get("name") == "train/loss"
               and r["time"] > after and r["step"] > fault.step]  # fmt: skip
        if new:
            return Outcome(lost, min(new) / 1000 - fault.at, "step")
        end = (self.folder / "recorded.json").stat().st_mtime - (time.time() - self.clock())
        return Outcome(lost, max(0.0, end - fault.at), "end")


def reference_of(job: Disturbed) -> Reference:
    """Return what a job has left that nobody disturbed."""
    assert job.command.wait() == 0, job.command.err
    seconds = time.time() - job.command.began
    folder = job.folder
    assert folder
    result = read_json(folder / "result.json")
    weights = sha256(folder / "model" / "weights.safetensors")
    reference = Reference(weights, result["metrics"], values_of(folder), seconds)
    job.assert_nothing_lost(reference)
    steps = sorted(step for name, step in reference.values if name == "train/loss")
    assert steps == list(range(1, STEPS + 1))
    return reference


def values_of(folder: Path) -> dict[tuple[str, int], float]:
    """Return each metric of the journal that no clock measured; none may be there twice."""
    written = [r for r in read_all(folder / "journal") if r["kind"] == "metric"]
    places = [(r["name"], r["step"]) for r in written]
    assert len(places) == len(set(places)), sorted(p for p in places if places.count(p) > 1)
    measured = ("goodput/", "system/", "time/", "train/images")
    return {
        (r["name"], r["step"]): r["value"] for r in written if not r["name"].startswith(measured)
    }


def rows_of(mlflow: Path, run_id: str) -> list[tuple[str, int, float]]:
    """Return a run's rows in MLflow's own table: (metric, step, value), sorted."""
    with sqlite3.connect(f"file:{mlflow}?mode=ro", uri=True) as database:
        found = database.execute(
            "SELECT key, step, value FROM metrics WHERE run_uuid = ?", [run_id]
        )
        rows = sorted(found.fetchall())
    database.close()
    return rows


def left_behind(folder: Path) -> list[str]:
    """Return a job's temporary files, and folders of checkpoints that have no manifest."""
    temporary = [*folder.rglob(".*.tmp"), *folder.glob("checkpoints/.*")]
    checkpoints = folder.glob("checkpoints/step-*")
    torn = [path for path in checkpoints if not (path / "manifest.json").exists()]
    return sorted(str(path.relative_to(folder)) for path in (*temporary, *torn))


def kill(*pids: int) -> None:
    """Send SIGKILL to processes, of which those may have gone that one before kept alive."""
    os.kill(pids[0], signal.SIGKILL)
    for pid in pids[1:]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _of_home(home: Path) -> list[psutil.Process]:
    """Return the processes that were started with this HELIO_HOME and live."""
    sign = f"HELIO_HOME={home}".encode()
    found = []
    for process in psutil.process_iter():
        try:
            words = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if sign in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.NoSuchProcess):
            continue
    return found


def _line(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:120]}"
    except psutil.NoSuchProcess:
        return f"{process.pid}"
