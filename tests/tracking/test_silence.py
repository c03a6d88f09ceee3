"""MLflow's chatter stays off the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import heliostat

A_WHOLE_JOB = """
import sys
from pathlib import Path
from heliostat.tracking.server import artifact_root, ping, tracking_uri
home, model = Path(sys.argv[1]), Path(sys.argv[2])
uri = tracking_uri(home)
ping(uri)
from heliostat.tracking.describe import describe
from heliostat.tracking.models import download, resolve
from heliostat.tracking.packaging import log_model
from heliostat.tracking.registry import register
from heliostat.tracking.runs import finish, open_run
from heliostat.tracking.shipper import Shipper

run_id = open_run(
    uri, experiment="e", name="n", job="j", tags={}, artifact_root=artifact_root(home)
)
describe(
    uri, run_id, kind="train", spec_text="", resolved={"a": 1}, command=["helio"], folder=home
)
Shipper(uri, run_id, home).send(
    [{"kind": "metric", "name": "test/accuracy", "step": 1, "value": 0.5, "time": 1000}]
)
register(uri, run_id, log_model(uri, run_id, model), name="m", alias="champion")
download(uri, resolve(uri, "models:/m@champion"), home / "cache" / "m")
finish(uri, run_id, "FINISHED")
"""


def test_a_whole_job_in_a_new_home_prints_nothing(exported: Path, tmp_path: Path) -> None:
    home = tmp_path / "my home"
    command = [sys.executable, "-c", A_WHOLE_JOB, str(home), str(exported)]
    env = os.environ | {"PYTHONPATH": str(Path(heliostat.__file__).parents[1])}
    env = {key: value for key, value in env.items() if not key.startswith("MLFLOW_")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {item.name for item in tmp_path.iterdir()} == {"my home"}  # no ./mlruns left behind
