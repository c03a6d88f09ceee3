"""Where MLflow is, and whether it answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import heliostat
from heliostat.spec.problems import InputError
from heliostat.tracking.server import artifact_root, ping, tracking_uri


def test_the_embedded_store_is_used_unless_a_tracking_uri_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_root(tmp_path) == f"file://{tmp_path}/artifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking_uri(tmp_path) == "http://mlflow:5000"
    assert artifact_root(tmp_path) is None


def test_a_server_that_is_not_there_is_named_with_the_way_out() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(InputError) as error:
            ping(uri)
    assert str(error.value) == (
        f"no MLflow server answers at {uri} ([Errno 111] Connection refused);"
        " start it or unset MLFLOW_TRACKING_URI"
    )


def test_a_web_server_that_is_not_mlflow_is_not_taken_for_it() -> None:
    with HTTPServer(("127.0.0.1", 0), _NotMlflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match="no MLflow server answers .*HTTP 404"):
            ping(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_a_store_in_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't be written"):
        ping(f"sqlite:///{tmp_path}/file/home/mlflow.db")
    ping(f"sqlite:///{tmp_path}/home/mlflow.db")


def test_a_plain_folder_is_refused_as_a_store() -> None:
    with pytest.raises(InputError, match="no longer keeps runs in a plain folder"):
        ping("./mlruns")


def test_asking_whether_mlflow_is_there_imports_no_mlflow() -> None:
    code = (
        "import sys; import heliostat.tracking.server, heliostat.tracking.provenance;"
        "sys.exit(any(m in sys.modules for m in ('mlflow', 'torch', 'ray')))"
    )
    env = os.environ | {"PYTHONPATH": str(Path(heliostat.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


class _NotMlflow(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
