"""The Ray that a job runs on: the one it is told, or one of its own in this process."""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from importlib import import_module
from pathlib import Path
from typing import Literal

from heliostat.runtime import ahead, kernel_memory
from heliostat.runtime.home import home
from heliostat.spec import InputError, Resources

EMBEDDED = {
    "RAY_AUTH_MODE": "token",
    # Ray on Linux takes an address that can be reached otherwise; nothing here needs one.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}

Library = Literal["ray.train", "ray.tune"]

AHEAD: dict[Library, dict[str, str]] = {
    # Ray starts a worker for each CPU ahead of time; they do their imports while nobody waits.
    "ray.train": {"RAY_preload_python_modules": "ray.train"},
    # Tune's actors have a runtime environment, and so are other processes than these.
    "ray.tune": {},
}

WORKERS = {
    # Tensors on huge pages where the kernel lends them (3 to 8 % more images/s on the CPU), and
    # not a pool of memory for each of the many threads that Ray keeps in a worker.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2",
}
"""What Ray's processes inherit of a node."""


def beginning() -> str:
    """Return what `ray_session` will do, for the person who waits for it."""
    return "connecting to Ray" if os.environ.get("RAY_ADDRESS") else "starting Ray"


@contextmanager
def ray_session(
    log: Path, *, library: Library = "ray.train", code: Path | None = None, quick: bool = False
) -> Iterator[None]:
    """Connect to `RAY_ADDRESS`, or start an embedded Ray on loopback, and end it afterwards.

    What Ray has to say goes to the file `log`; `library` is what the driver will use of it. The
    folder `code` goes to the workers of a cluster, unless it travelled with the job. With `quick`,
    and a package (`ahead.package`), they are ones that were started ahead, and fetch it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # Ray prints some of what it has to say to `sys.stderr`, whatever its loggers are told.
    with log.open("a", buffering=1, encoding="utf-8") as output, redirect_stderr(output):
        start(log, library, code, quick=quick)
        try:
            with _leaving_in_order():
                yield
        finally:
            import ray

            if quick:
                ahead.start_for_the_next()
            ray.shutdown()


def start(
    log: Path,
    library: Library = "ray.train",
    code: Path | None = None,
    *,
    quick: bool = False,
) -> None:
    """Connect or start, as `ray_session` does; `log`'s folder is there."""
    address = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
    if not address:
        for name, value in EMBEDDED.items():
            os.environ.setdefault(name, value)
    if not address and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_file())
    if not address:
        # A head that is to survive its end keeps its state there; this Ray is no such head.
        os.environ.pop("RAY_REDIS_ADDRESS", None)

    _log_to(log)
    # It takes 2 s to import, and ray.init waits for other processes most of its time.
    importing = threading.Thread(target=import_module, args=(library,), daemon=True)
    importing.start()
    if address:
        _connect(address, code, quick=quick)
    else:
        with _environment({**WORKERS, **AHEAD[library]}):
            _start_here()
    importing.join()


def _connect(address: str, code: Path | None, *, quick: bool) -> None:
    import ray

    travelling = _travelling(code)
    with ahead.without_environment() if quick else nullcontext():
        try:
            ray.init(
                address="auto",
                configure_logging=False,
                log_to_driver=False,
                runtime_env=travelling,
            )
        except (ConnectionError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError.of(
                f"no Ray cluster answers at {address}: {reason}",
                valid="start it or unset RAY_ADDRESS",
            ) from error


def _start_here() -> None:
    """Start a Ray of this process's own; a second time where the machine was too busy for it.

    Ray waits 30 s for its processes, which no setting changes. Raises InputError.
    """
    import psutil
    import ray

    ours = psutil.Process()
    before = set(ours.children(recursive=True))
    for tries_left in (1, 0):
        try:
            ray.init(
                address="local",
                _node_ip_address="127.0.0.1",
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
            )
            return
        except Exception as error:  # bare Exceptions are among what it raises
            # `ray.shutdown` knows nothing of a node that has not come up.
            for child in set(ours.children(recursive=True)) - before:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            if not tries_left:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise InputError.of(
                    f"Ray cannot be started here: {reason}",
                    valid="a machine that is less busy; the newest folder in /tmp/ray says more",
                ) from error


class RayGone(RuntimeError):
    """A process of the embedded Ray has died without which nothing runs any more."""


def check_lives() -> None:
    """Raise RayGone where the embedded Ray has lost its raylet or its GCS; cheap, for a loop.

    Ray Train and Ray Tune wait for them for ever.
    """
    import ray

    node = ray._private.worker._global_node
    dead: list[str] = [kind for kind, _ in node.dead_processes()] if node is not None else []
    for kind in ("raylet", "gcs_server"):
        if kind in dead:
            raise RayGone(f"Ray's {kind} died")


def nodes_gone() -> frozenset[str]:
    """Return the ids of the cluster's nodes that are dead; of an embedded Ray there are none."""
    if not os.environ.get("RAY_ADDRESS"):
        return frozenset()
    import ray

    return frozenset(node["NodeID"] for node in ray.nodes() if not node["Alive"])  # type: ignore[no-untyped-call]


def kills_here() -> int | None:
    """Return how many processes the kernel killed for want of memory on the workers' machine.

    None where it does not say, and of a cluster, whose machines are others.
    """
    return None if os.environ.get("RAY_ADDRESS") else kernel_memory.kills()


def check_machine(resources: Resources) -> None:
    """Raise InputError, before an embedded Ray is started, where this machine has too few CPUs."""
    if not os.environ.get("RAY_ADDRESS"):
        _check(resources, {"CPU": os.cpu_count() or 1, "GPU": math.inf})


def check_resources(resources: Resources) -> None:
    """Raise InputError where the cluster can never give the workers what they ask for."""
    import ray

    _check(resources, ray.cluster_resources())  # type: ignore[no-untyped-call]


def _check(resources: Resources, have: Mapping[str, float]) -> None:
    workers = resources.min_workers
    for name, each, key in (
        ("CPU", resources.cpus_per_worker, "cpus_per_worker"),
        ("GPU", resources.gpus_per_worker, "gpus_per_worker"),
    ):
        there = have.get(name, 0)
        if workers * each > there:
            raise InputError.of(
                f"{workers} × {each} {name} are asked for and {there:g} are there",
                key=("resources", key if name == "GPU" else "workers"),
                valid=f"fewer workers, a smaller {key}, or a larger cluster",
            )


def token_file() -> Path:
    """Return the file with this HELIO_HOME's Ray token, readable by its owner alone."""
    path = home() / "ray-token"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path


def _travelling(code: Path | None) -> dict[str, str] | None:
    submitted = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    if code is None or "working_dir" in (submitted.get("runtime_env") or {}):
        return None
    return {"working_dir": str(code)}


@contextmanager
def _leaving_in_order() -> Iterator[None]:
    """Make a SIGTERM a SystemExit, as a SIGINT is a KeyboardInterrupt.

    The handler that `ray.init` leaves there ends the process three seconds later, whatever it
    still has to write down.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile; the user's own are kept."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _log_to(log: Path) -> None:
    handler = logging.FileHandler(log, encoding="utf-8")
    for name in ("ray", "ray.train", "ray.data"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
