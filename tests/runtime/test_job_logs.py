from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heliostat.runtime import kept_code
from heliostat.runtime.job_logs import KEPT_BYTES, driver_output, keep_driver_output, kept


def test_the_output_of_a_process_that_ray_jobs_did_not_start_is_not_a_drivers_log() -> None:
    assert driver_output() is None


def test_the_output_of_one_that_they_started_is_found(tmp_path: Path) -> None:
    log = tmp_path / "job-driver-a-1.log"
    program = (
        "import sys; from heliostat.runtime.job_logs import driver_output; print(driver_output())"
    )
    with log.open("w") as output:
        subprocess.run(
            [sys.executable, "-c", program],
            stdout=output,
            stderr=output,
            check=True,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
    assert log.read_text() == f"{log}\n"


@pytest.mark.parametrize(("submission", "name"), [("a-1", "driver"), ("a-1-2", "driver-2")])
def test_each_submission_of_a_job_has_a_log_of_its_own(
    tmp_path: Path, submission: str, name: str
) -> None:
    output = tmp_path / f"job-driver-{submission}.log"
    output.write_text("said\n")
    keep_driver_output("a-1", output, tmp_path / "logs")
    assert (tmp_path / "logs" / f"{name}.log").read_text() == "said\n"


def test_an_output_that_is_gone_leaves_the_copy_as_it_is(tmp_path: Path) -> None:
    keep_driver_output("a-1", tmp_path / "job-driver-a-1.log", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_of_a_long_log_the_end_is_kept_from_the_beginning_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "short.log").write_text("short\n")
    lines = [f"line {number:07d}\n" for number in range(KEPT_BYTES // 13 + 100)]
    (tmp_path / "long.log").write_text("".join(lines))

    with kept(tmp_path) as files:
        found = {file.name: file.read_text() for file in files}

    assert found["short.log"] == "short\n"
    first, *rest = found["long.log"].splitlines(keepends=True)
    assert first.endswith("bytes before this are left out\n")
    assert rest == lines[-len(rest) :]
    assert KEPT_BYTES - 13 <= len("".join(rest)) <= KEPT_BYTES
    assert (tmp_path / "long.log").stat().st_size > KEPT_BYTES


def test_the_code_of_a_submitted_job_is_put_back_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, job = tmp_path / "travelled" / "folder", tmp_path / "job"
    (code / "sub").mkdir(parents=True)
    (code / "sub" / "model.py").write_text("x = 1\n")

    kept_code.keep(code, job)
    assert kept_code.copy_of(job) is None  # nobody submitted it: its folder stays where it is
    monkeypatch.setenv("HELIO_JOB_ID", "a-1")
    kept_code.keep(code, job)
    (code / "sub" / "model.py").unlink()
    kept_code.restore(code, job)
    assert not (code / "sub" / "model.py").exists()  # a folder that is there is left alone
    (code / "sub").rmdir()
    code.rmdir()
    kept_code.restore(code, job)

    assert (code / "sub" / "model.py").read_text() == "x = 1\n"
