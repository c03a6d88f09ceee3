"""A real `mlflow server` that goes away and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from heliostat.spec.problems import InputError
from heliostat.tracking.server import ping
from ports import free_port
from waiting import wait_until


class MlflowServer:
    """An `mlflow server` on a free port of this machine, without a password."""

    def __init__(self, folder: Path, backend: str, *, workers: int = 1) -> None:
        """Keep the log and the artifacts in `folder`; `backend` is the database's address."""
        self.uri = f"http://127.0.0.1:{free_port()}"
        self.folder, self._backend, self._workers = folder, backend, workers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        port = self.uri.rpartition(":")[2]
        command = [sys.executable, "-m", "mlflow", "server", "--port", port]
        command += ["--workers", str(self._workers), "--backend-store-uri", self._backend]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            return self._answers()

        wait_until(answers, 90, log.read_text)

    def stop(self) -> None:
        """Kill it, and wait until nobody answers."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        wait_until(lambda: not self._answers(), 20, lambda: f"{self.uri} is silent", every=0.05)

    def _answers(self) -> bool:
        try:
            ping(self.uri)
        except InputError:
            return False
        return True
