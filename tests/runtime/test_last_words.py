"""What the log of a rank that died tells of its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heliostat.runtime.last_words import last_words

# What a worker is when its code crashes: Ray has turned faulthandler on, and stderr is its log.
CRASHES = """
import ctypes, faulthandler
faulthandler.enable(all_threads=False)

def deep():
    ctypes.string_at(0)

deep()
"""


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The logs of two ranks, of which rank 1 ended with a segmentation fault in own.py."""
    (tmp_path / "own.py").write_text(CRASHES)
    (tmp_path / "rank-0.log").write_text("training\n")
    with (tmp_path / "rank-1.log").open("w") as log:
        log.write("training\n")
        log.flush()
        done = subprocess.run([sys.executable, str(tmp_path / "own.py")], stderr=log, check=False)
    assert done.returncode < 0
    return tmp_path


def test_a_crash_is_told_with_its_rank_and_the_line_of_code(crashed: Path) -> None:
    words = last_words(crashed, since=time.time() - 60)
    assert words is not None
    assert words.verdict == "worker_lost"
    assert words.message.startswith("rank 1 crashed: Segmentation fault in own.py, line ")


def test_what_an_earlier_attempt_left_is_not_believed(crashed: Path) -> None:
    os.utime(crashed / "rank-1.log", (1, 1))
    assert last_words(crashed, since=time.time() - 60) is None


def test_a_gpu_that_waited_too_long_for_another_rank_is_a_collectives_time_out(
    tmp_path: Path,
) -> None:
    late = (
        "[rank0]:[E] [Rank 0] Watchdog caught collective operation timeout: "
        "WorkNCCL(SeqNum=7, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600012 milliseconds"
    )
    (tmp_path / "rank-0.log").write_text(
        f"{late} before timing out.\nFatal Python error: Aborted\n"
    )
    words = last_words(tmp_path, since=0)
    assert words is not None
    assert words.verdict == "collective"
    assert words.message.startswith("rank 0 in a collective: WorkNCCL(SeqNum=7, OpType=ALLREDUCE")


def test_logs_that_tell_nothing_are_no_last_words(tmp_path: Path) -> None:
    assert last_words(tmp_path, since=0) is None
    (tmp_path / "rank-0.log").write_text("training\n")
    assert last_words(tmp_path, since=0) is None
