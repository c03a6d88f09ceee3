"""What is remembered: heliostat's decisions about MLflow. The only room that imports mlflow."""

from __future__ import annotations

import os

# MLflow reads some of these when it is first imported, so they stand here, ahead of every module
# of the room. A person's own settings win.
_DEFAULTS = {
    # MLflow's 7 retries of 120 s would hold the recorder for a quarter of an hour; the journal
    # keeps what was not sent, and the caller tries again.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # Nothing but heliostat's own output on the terminal (and `--json` on stdout).
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)
