"""`helio ui`: MLflow's own pages over what this HELIO_HOME, or the team's server, remembers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heliostat.runtime.home import home
from heliostat.spec import InputError
from heliostat.tracking.server import (
    artifact_root,
    password_file,
    ping,
    server_of,
    tracking_uri,
)

START_SECONDS = 60.0


@dataclass(frozen=True)
class Pages:
    """Where the UI is, and how a person gets in."""

    url: str
    started: bool
    """Whether it was started for this, and ends with this process."""
    password_file: Path | None
    """The password of the user `helio`; None where nobody asks, or the server is the team's."""


def ui(*, host: str, port: int, opened: Callable[[Pages], None]) -> None:
    """Serve the MLflow UI until Ctrl-C or SIGTERM; call `opened` with its address once it answers.

    Where MLFLOW_TRACKING_URI is a server, or the one of `helio up` lives, its own address is given
    and nothing is started.
    """
    uri = tracking_uri(home())
    ping(uri)
    if uri.startswith(("http://", "https://")):
        ours = server_of(home())
        password = password_file(home()) if ours and ours.address == uri else None
        opened(Pages(_pages(uri), False, password))
        return
    address = f"http://{host}:{port}"
    if _answers(address):
        raise InputError.of(f"something already answers at {address}", valid="another --port")
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--backend-store-uri", uri, "--workers", "1"]
    artifacts = artifact_root(home()) or ""
    # Of experiments that were made through the server of `helio up --listen`, they lie there too.
    command += ["--default-artifact-root", artifacts, "--artifacts-destination", artifacts]
    log = home() / "ui.log"
    with log.open("ab") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            # The runner of GenAI jobs, which nothing here asks for, takes 3 s to start.
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        _wait_until_it_answers(server, address, str(log))
        opened(Pages(_pages(address), True, None))
        server.wait()
    finally:
        # The server is a process with children; all of them end, however this one does.
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _pages(address: str) -> str:
    """Return the address of MLflow's pages for training, not those for language models."""
    return f"{address.rstrip('/')}/#/experiments?workflowType=machine_learning"


def _wait_until_it_answers(server: subprocess.Popen[bytes], address: str, log: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(address):
        if server.poll() is not None or time.monotonic() > deadline:
            raise InputError.of(f"the MLflow UI did not start at {address}", valid=f"see {log}")
        time.sleep(0.2)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=1.0):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
