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

from heliostat.runtime.home import home
from heliostat.spec import InputError
from heliostat.tracking.server import artifact_root, ping, tracking_uri

START_SECONDS = 60.0


def ui(*, host: str, port: int, opened: Callable[[str], None]) -> None:
    """Serve the MLflow UI until Ctrl-C or SIGTERM; call `opened` with its address once it answers.

    Where MLFLOW_TRACKING_URI is a server, its own address is given and nothing is started.
    """
    uri = tracking_uri(home())
    ping(uri)
    if uri.startswith(("http://", "https://")):
        opened(_pages(uri))
        return
    address = f"http://{host}:{port}"
    if _answers(address):
        raise InputError.of(f"something already answers at {address}", valid="another --port")
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--backend-store-uri", uri, "--workers", "1"]
    command += ["--default-artifact-root", artifact_root(home()) or ""]
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
        opened(_pages(address))
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
