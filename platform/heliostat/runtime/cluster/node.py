"""A Ray node in the background: a cluster's head, or a node that joins one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from heliostat.runtime import ahead
from heliostat.runtime.cluster import processes, start_hook
from heliostat.runtime.cluster.asking import Cluster, ClusterAway, token
from heliostat.runtime.cluster.ports import LOOPBACK
from heliostat.runtime.cluster.running import folder, log, record
from heliostat.runtime.cluster.settings import Settings
from heliostat.runtime.cluster.turns import TURNS
from heliostat.runtime.home import home
from heliostat.runtime.session import WORKERS, token_file
from heliostat.spec import InputError
from heliostat.tracking.standing import Option, Standing

_ALWAYS = {
    "RAY_AUTH_MODE": "token",
    "RAY_START_HOOK": start_hook.NAME,
    # Ray asks its autoscaler's state for what is free on each node. Its second version answers
    # from the GCS; the first needs a process that writes it down every five seconds.
    "RAY_enable_autoscaler_v2": "1",
    # Metrics for Prometheus are served without a token.
    "RAY_enable_metrics_collection": "0",
    "DASHBOARD_METRIC_PORT": "-1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # On a busy machine its processes take longer than the minute that Ray gives them.
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "150",
    # Ray would wait for half a minute, at its end, for jobs that end with it.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # Ray gives up a job that has waited for its turn for 15 minutes.
    "RAY_JOB_START_TIMEOUT_SECONDS": str(30 * 24 * 3600),
    **WORKERS,
    **ahead.NODE,
}

_ERROR = re.compile(r"Error|Exception")
_REPORT = "Some Ray subprocesses exited unexpectedly:"


def start_head(settings: Settings, tracking: Mapping[str, str]) -> Standing:
    """Start a head, and write it down.

    `tracking` are MLflow's variables; drivers of jobs run on the head and inherit them.
    """
    env = {**_environment(loopback=settings.listen == LOOPBACK), **tracking}
    if settings.storage:
        env["HELIO_STORAGE"] = settings.storage
    command = [*_ray_start(), "--head", "--no-monitor", "--include-dashboard=true"]
    command += [f"--node-ip-address={settings.listen}", f"--port={settings.port}"]
    command += [f"--dashboard-host={settings.listen}"]
    command += [f"--dashboard-port={settings.dashboard_port}"]
    command += [f"--resources={json.dumps({TURNS: settings.jobs_at_once})}"]
    if not os.environ.get("RAY_REDIS_ADDRESS"):
        # The last head's logs and packages; with Redis they are still this cluster's.
        shutil.rmtree(sessions(home()), ignore_errors=True)
    process = processes.start(command, env, log=log("ray"), cwd=folder())
    options: dict[str, Option] = {
        "role": "head",
        "listen": settings.listen,
        "port": settings.port,
        "dashboard_port": settings.dashboard_port,
        "jobs_at_once": settings.jobs_at_once,
        "storage": settings.storage,
    }
    return record("ray", process.pid, settings.dashboard, options)


def start_node(head: str, dashboard: str) -> Standing:
    """Start a node that joins the cluster whose head is `head` (IP:PORT), and write it down."""
    command = [*_ray_start(), f"--address={head}"]
    env = _environment(loopback=False)
    process = processes.start(command, env, log=log("ray"), cwd=folder())
    return record("ray", process.pid, dashboard, {"role": "node", "head": head})


def start_workers_ahead(gcs: str) -> None:
    """Have the nodes of the cluster whose GCS is at `gcs` start workers for the jobs to come."""
    ahead.start_missing(gcs, _environment(loopback=False))


def answers(head: Standing) -> bool:
    """Whether the head that was started takes jobs; InputError where it refuses the token."""
    if not is_up():
        return False
    try:
        Cluster(head.address, token()).probe()
    except ClusterAway:
        return False
    return True


def is_up() -> bool:
    """Whether the node that was started says that it runs."""
    return "Ray runtime started." in _said()


def was_too_slow() -> bool:
    """Whether the node ended since its raylet took more than the 30 s that Ray gives it."""
    return "timed out during startup" in _said()


def why_ended() -> str:
    """Return, in a line, why the node that was started is no more."""
    said = _said()
    if _REPORT in said:
        lines = said.partition(_REPORT)[2].splitlines()
        died = [line.strip() for line in lines if "exit code" in line]
        if died:
            return f"Ray's {', '.join(died)}"
    errors = [line.strip() for line in said.splitlines() if _ERROR.search(line)]
    return errors[-1] if errors else "Ray was ended from outside"


def token_variables() -> dict[str, str]:
    """Return what says to Ray's processes and clients which token is the cluster's.

    It is the token that the environment names, else that of HELIO_HOME, which is made if missing.
    """
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return {}
    file = token_file()
    file.chmod(0o600)
    return {"RAY_AUTH_TOKEN_PATH": str(file)}


def token_source() -> Path | None:
    """Return the file with the token; None where the environment holds the token itself."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return None
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or token_file()).expanduser().absolute()


def sessions(home: Path) -> Path:
    """Return the folder for Ray's sockets, logs and packages, one for each HELIO_HOME.

    Paths of sockets end at 107 bytes, so that it can't lie in HELIO_HOME. Ray gives everybody the
    right to write in its own folder; the one around it is closed.
    """
    name = hashlib.sha256(str(home).encode()).hexdigest()[:8]
    around = Path("/tmp") / f"helio-{os.getuid()}-{name}"
    around.mkdir(mode=0o700, exist_ok=True)
    found = around.stat()
    if around.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InputError.of(
            f"{around} belongs to somebody else, or others can write in it", valid="remove it"
        )
    return around / "ray"


def _ray_start() -> list[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    command += ["--log-color=false"]
    # Ray's default for this port is one number: it may be another Ray's of this machine.
    return [*command, "--dashboard-agent-listen-port=0", f"--temp-dir={sessions(home())}"]


def _environment(*, loopback: bool) -> dict[str, str]:
    env = {**processes.environment(), **_ALWAYS, **token_variables(), "HELIO_HOME": str(home())}
    if loopback:
        # Ray on Linux takes an address that other machines reach otherwise.
        env["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    else:
        env.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)
    return env


def _said() -> str:
    try:
        return log("ray").read_text(errors="replace")
    except FileNotFoundError:
        return ""
