from __future__ import annotations

import math

import pytest

from heliostat.cli.summary import summary
from heliostat.cli.wording import duration, number, table
from heliostat.runtime.outcome import Outcome


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.972222, "0.9722"),
        (1.0, "1.000"),
        (0.0, "0.000"),
        (0.00001234, "1.234e-05"),
        (31.41592, "31.42"),
        (10007.0, "10,007"),
        (360.0, "360"),
        (-12345.6, "-12,346"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_a_metric_has_four_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (61, "1:01"), (3723, "1:02:03")]
)
def test_a_time_span_reads_as_on_a_stopwatch(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_table_is_aligned_and_a_message_keeps_its_first_line() -> None:
    rows = [
        {"id": "a", "value": 0.97222, "message": None},
        {"id": "long-name", "value": None, "message": "first\nsecond"},
    ]
    assert table(rows, ("id", "value", "message"), empty="no rows") == [
        "id         value   message",
        "a          0.9722",
        "long-name          first",
    ]
    assert table([], ("id",), empty="no rows") == ["no rows"]


def test_a_summary_of_very_many_metrics_stays_short() -> None:
    metrics = {f"test/recall/{i}": 0.5 for i in range(100)}
    metrics |= {"train/loss": 1.0, "test/seen": 270}
    lines = summary(Outcome("digits-1", None, "FINISHED", metrics))

    assert len(lines) == 15
    assert [line.split() for line in lines[1:3]] == [["test/seen", "270"], ["train/loss", "1.000"]]
    assert lines[-2].split() == ["…", "90", "more", "in", "MLflow"]
