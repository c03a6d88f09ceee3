from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.spec.problems import InputError
from heliostat.tracking.describe import attach
from heliostat.tracking.kept_logs import LOGS, driver_log

Start = Callable[..., str]


def keep(uri: str, run_id: str, folder: Path, **logs: str) -> None:
    for name, text in logs.items():
        file = folder / f"{name.replace('_', '-')}.log"
        file.write_text(text)
        attach(uri, run_id, file, place=LOGS)


def test_the_logs_of_all_drivers_of_a_job_are_read_in_their_order(
    uri: str, start: Start, tmp_path: Path
) -> None:
    run_id = start("a-1")
    keep(uri, run_id, tmp_path, driver_10="third\n", driver="first\n", driver_2="second\n")
    keep(uri, run_id, tmp_path, rank_0="a rank's\n", recorder="the recorder's\n")
    assert driver_log(uri, "a-1") == "first\nsecond\nthird\n"


@pytest.mark.parametrize("job", ["b-9", "it's"])
def test_a_job_that_mlflow_does_not_know_is_said(uri: str, start: Start, job: str) -> None:
    start("a-1")
    with pytest.raises(InputError, match=f"MLflow knows no job {job}"):
        driver_log(uri, job)


def test_a_job_that_ran_on_no_cluster_has_no_drivers_log(uri: str, start: Start) -> None:
    start("a-1")
    with pytest.raises(InputError, match="MLflow keeps no log of the driver of a-1"):
        driver_log(uri, "a-1")
