"""Processes in the background: started in a session of their own, ended with all they started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from heliostat.tracking.standing import Standing

LEADER_SECONDS = 30.0
"""How long Ray's own way of ending its node may take."""
REST_SECONDS = 10.0
"""How long what is left then has: a job's recorder writes down how the job ended."""

# What leads elsewhere, or is meant for one job or for this process only.
_LEFT_OUT = (
    "HELIO_CLUSTER",
    "HELIO_JOB_ID",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
)


def environment() -> dict[str, str]:
    """Return this process's environment as a process in the background should have it.

    Its `python` is this one, and paths mean the same from another working directory.
    """
    env = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if paths := os.environ.get("PYTHONPATH"):
        env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in paths.split(os.pathsep))
    return env


def start(
    command: list[str], env: Mapping[str, str], *, log: Path, cwd: Path
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own; what it says goes to the new file `log`.

    What the last one said stays beside it. Files that it makes can be read by their owner alone.
    """
    with suppress(FileNotFoundError):
        log.replace(log.with_suffix(".last.log"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        return subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
        )


def end(standing: Standing) -> None:
    """End the process and all that it started: SIGTERM and time for it, then SIGKILL."""
    members = members_of(standing)
    leader = [member for member in members if member.pid == standing.pid]
    for member in leader:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    psutil.wait_procs(leader, LEADER_SECONDS)
    # Whatever came in the meantime has to go too.
    rest = list({*members, *members_of(standing)})
    for member in _living(rest):
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, left = psutil.wait_procs(_living(rest), REST_SECONDS)
    for member in left:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(left, REST_SECONDS)


def members_of(standing: Standing) -> list[psutil.Process]:
    """Return the processes of its session, and their descendants in other sessions.

    A job's driver is such a descendant. A leader that has died may have left others behind: a
    session's number is not given to another one while a process of it lives.
    """
    if psutil.pid_exists(standing.pid) and not standing.lives and not _is_zombie(standing.pid):
        return []  # the number is another process's by now
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == standing.pid:
                found |= {process, *process.children(recursive=True)}
    return sorted(found, key=lambda process: process.pid)


def _living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running()]


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
