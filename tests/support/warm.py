"""Commands of `helio` in forks of a process that has imported all they need: they begin at once.

A cold command imports torch and its compiler for 10 s of a core. A fork is a process like any
other: it has its own number, is killed by it, and has the same command line as its parent.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from command import ROOT, Helio

CLOCK = ROOT / "tests" / "chaos" / "clock"
"""A folder for PYTHONPATH, in which a clock is that can be stepped back."""


class Cold:
    """Starts commands as a person does, over one HELIO_HOME."""

    def __init__(self, helio: Helio, folder: Path) -> None:
        """What its commands say goes to `folder`."""
        self.helio, self._folder, self._count = helio, folder, 0
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Command:
        """Start a command and return it."""
        self._count += 1
        files = self._folder / f"{self._count:03d}"
        with files.with_suffix(".out").open("w") as out, files.with_suffix(".err").open("w") as err:
            began = time.time()
            process = subprocess.Popen(
                self.helio.command(*args),
                env={**self.helio.env, "OMP_NUM_THREADS": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return Command(process.pid, files, began, process)


@dataclass
class Command:
    """A command that was started."""

    pid: int
    files: Path
    """Without a suffix: `.out` and `.err` are what it said, `.rc` how it ended."""
    began: float
    """unix seconds"""
    process: subprocess.Popen[bytes] | None = None
    """Of a command that nobody else waits for."""

    def poll(self) -> int | None:
        """Return its exit status, as Popen does, or None while it lives."""
        if self.process is not None:
            return self.process.poll()
        file = self.files.with_suffix(".rc")
        return int(file.read_text()) if file.exists() else None

    def wait(self, seconds: float = 300.0) -> int:
        """Return its exit status once it has ended."""
        until = time.monotonic() + seconds
        while (status := self.poll()) is None:
            assert time.monotonic() < until, f"it has not ended:\n{self.err}"
            time.sleep(0.02)
        return status

    @property
    def out(self) -> str:
        return self.files.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self.files.with_suffix(".err").read_text()

    @property
    def document(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


class Warm:
    """The process that is forked, for commands over one HELIO_HOME."""

    def __init__(self, helio: Helio, folder: Path) -> None:
        """Start it; what its commands say goes to `folder`."""
        self.helio, self._folder, self._count = helio, folder, 0
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, __file__],
            env={**helio.env, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, *args: str | Path, env: Mapping[str, str] | None = None) -> Command:
        """Start a command and return it."""
        self._count += 1
        files = self._folder / f"{self._count:03d}"
        order = {"args": list(map(str, args)), "env": dict(env or {}), "files": str(files)}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        began = time.time()
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, "the warm process died"
        return Command(int(answer), files, began)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)


def main() -> None:
    """Fork for every line of stdin."""
    _import_all()
    commands: dict[int, Path] = {}

    def reap(number: int, frame: object) -> None:
        while commands:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _write(commands.pop(pid), os.waitstatus_to_exitcode(status))

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            sys.exit(_work(order))
        commands[pid] = Path(order["files"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        print(pid, flush=True)


def _write(files: Path, status: int) -> None:
    part = files.with_suffix(".part")
    part.write_text(str(status))
    part.rename(files.with_suffix(".rc"))


def _work(order: dict[str, Any]) -> int:
    from heliostat.cli.main import main as helio

    os.setsid()
    files = Path(order["files"])
    streams: list[IO[str]] = []
    for descriptor, suffix in ((1, ".out"), (2, ".err")):
        stream = files.with_suffix(suffix).open("w", buffering=1)
        os.dup2(stream.fileno(), descriptor)
        streams.append(stream)
    sys.stdin = open(os.devnull)  # noqa: SIM115  (for good)
    os.dup2(sys.stdin.fileno(), 0)
    sys.stdout, sys.stderr = streams
    os.environ.update(order["env"])
    if "CHAOS_CLOCK" in order["env"]:
        runpy.run_path(str(CLOCK / "sitecustomize.py"))
    sys.argv = ["helio", *order["args"]]
    return helio(order["args"])


def _import_all() -> None:
    """Import what a training job in this process comes to import, and start no thread."""
    for name in _IMPORTED:
        import_module(name)


_IMPORTED = (
    "matplotlib.figure",
    "sklearn.datasets",
    "torch._dynamo",
    "torch.export",
    "heliostat.cli.main",
    "heliostat.runtime.resume",
    "heliostat.runtime.run",
    "heliostat.runtime.sync",
    "heliostat.runtime.training_job",
    "heliostat.training.process",
)


if __name__ == "__main__":
    main()
