"""The logs that a job's run keeps in MLflow."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from heliostat.spec.problems import InputError
from heliostat.tracking import tags as tag
from heliostat.tracking.client import connect, reaching
from heliostat.tracking.runs import search

LOGS = "logs"
"""The artifact folder of a run's logs."""

_DRIVERS = "driver"


def driver_log(uri: str, job: str) -> str:
    """Return what the job's drivers said on a cluster, the first one's first.

    Raises InputError where MLflow knows no such job or keeps no such log of it, TrackingAway where
    MLflow can't be reached.
    """
    with reaching(uri):
        client = connect(uri)
        known = search(client, f"tags.`{tag.JOB}` = '{job}'") if "'" not in job else []
        runs = [run for run in known if tag.TRIAL not in run.data.tags]
        if not runs:
            raise InputError.of(f"MLflow knows no job {job}", valid="one that `helio runs` lists")
        run_id = runs[0].info.run_id
        files = [file.path for file in client.list_artifacts(run_id, LOGS)]
        drivers = [file for file in files if Path(file).name.startswith(_DRIVERS)]
        if not drivers:
            raise InputError.of(
                f"MLflow keeps no log of the driver of {job}",
                valid="a job that has ended on a cluster, or --cluster for one that runs there",
            )
        with TemporaryDirectory(prefix="helio-logs-") as folder:
            texts = [
                Path(client.download_artifacts(run_id, file, folder)).read_text(errors="replace")
                for file in sorted(drivers, key=_number)
            ]
    return "".join(texts)


def _number(file: str) -> int:
    """Return which of a job's submissions `driver.log` or `driver-2.log` is of."""
    number = Path(file).stem.removeprefix(f"{_DRIVERS}-")
    return int(number) if number.isdecimal() else 1
